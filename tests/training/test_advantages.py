"""Advantages: hand-computed examples, laws, and what is refused."""

import numpy as np
import pytest

from interp.errors import ConfigError, DataError, MeasurementError
from training.rewards import advantages


def test_advantages_by_hand():
    """Rewards 13, 8, 3, -12: mean 3, population variance (100 + 25 + 0 + 225) / 4 = 87.5."""
    found = advantages(np.array([13.0, 8.0, 3.0, -12.0]))
    assert found == pytest.approx(np.array([10, 5, 0, -15]) / (87.5**0.5 + 1e-6), rel=1e-12)
    assert advantages(np.array([0.0, 2.0]), eps=1.0).tolist() == [-0.5, 0.5]


def test_a_group_of_equals_has_no_advantage():
    assert advantages(np.full(7, 0.1)).tolist() == [0] * 7
    assert advantages(np.array([3.0])).tolist() == [0]


def test_languages_may_be_compared_with_themselves_only():
    scores = np.random.default_rng(0).choice([1.0, 0.0, -0.5, -1.0], size=(8, 12))
    scores[:, 3] = -1
    found = advantages(scores, pooling="per_lang")
    for language in range(12):
        assert found[:, language] == pytest.approx(advantages(scores[:, language]))
    assert (found[:, 3] == 0).all()


def test_advantages_do_not_depend_on_the_order_or_level_of_rewards():
    rewards = np.random.default_rng(0).normal(size=8)
    order = np.random.default_rng(1).permutation(8)
    assert advantages(rewards[order]) == pytest.approx(advantages(rewards)[order])
    assert advantages(rewards + 100) == pytest.approx(advantages(rewards))
    assert advantages(rewards).mean() == pytest.approx(0)
    assert advantages(rewards).std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("rewards", "settings", "error", "message"),
    [
        ([1.0, np.nan, np.inf], {}, MeasurementError, "reward of rollout 1, 2 is not a finite number"),
        ([[1.0, 2.0]], {}, DataError, r"shape \(1, 2\); pooling 'group' needs \[rollout\]"),
        ([1.0], {"pooling": "per_lang"}, DataError, r"needs \[rollout, language\]"),
        ([], {}, DataError, "needs"),
        ([1.0], {"pooling": "groups"}, ConfigError, "Unknown pooling 'groups'. Did you mean 'group'"),
        ([1.0], {"eps": 0.0}, ConfigError, "eps is 0.0"),
    ],
)
def test_advantages_refuse(rewards, settings, error, message):
    with pytest.raises(error, match=message):
        advantages(np.array(rewards), **settings)
