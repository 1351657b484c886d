"""The noise of specialization in simulated text; the long comparison is in tests/truth/noise.md."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.comparison.units import contrast
from tests.truth.simulate_noise import floor_of_halves, texts


@pytest.mark.parametrize("blocks", [4, 8])
def test_the_floor_is_as_likely_too_high_as_too_low_and_says_how_uncertain_it_is(blocks):
    read = [one for one, _ in texts(np.random.default_rng(blocks), blocks, 160)]
    values = np.array([float(each.overall.value) for each in read])
    true = 1.96 * np.sqrt(2) * values.std(ddof=1)
    noise = [each.overall.noise(texts=2) for each in read]
    assert np.median([each.value for each in noise]) == pytest.approx(true, rel=0.15)
    assert np.mean([each.low <= true <= each.high for each in noise]) >= 0.9


def test_a_paired_change_is_called_by_its_own_noise():
    """8 blocks, a true change of -17 %: called in most samples, and under the null in 5 % at most."""
    null, changed = (list(texts(np.random.default_rng(3), 8, 60, change)) for change in (0.0, 0.18))
    called = [np.mean([contrast(*pair).differs for pair in pairs]) for pairs in (null, changed)]
    assert called[0] <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)
    assert called[1] > 0.5
    floors = [floor_of_halves(one) for one, _ in changed]
    beyond = np.mean(
        [abs(contrast(*pair).change.value) >= floor for pair, floor in zip(changed, floors, strict=True)]
    )
    assert beyond < called[1] / 2  # the floor of two texts hid most of it
