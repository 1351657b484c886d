"""A few of the damaged results of `tests.faults.mutate_results`: the same ones in every run."""

from __future__ import annotations

import random

import numpy as np
import pytest

from interp.errors import ResultError
from interp.results import load_result
from tests.faults.mutate_results import campaign, samples
from tests.faults.mutations import KINDS


def test_no_damaged_result_ends_in_a_traceback(tmp_path):
    ends = list(campaign(tmp_path, 66, seed=1))
    assert [outcome for outcome in ends if outcome.end == "traceback"] == []
    assert {outcome.sample for outcome in ends} == {file.name for file in samples(tmp_path)}
    assert sum(outcome.end == "refused" for outcome in ends) > 33


@pytest.mark.parametrize("damage", ["flip a bit", "cut", "overwrite", "insert"])
def test_damaged_bytes_never_give_another_value(tmp_path, damage):
    sample = next(file for file in samples(tmp_path) if file.name == "behavior-schema-1-again.npz")
    whole, content = load_result(sample), sample.read_bytes()
    for seed in range(40):
        sample.write_bytes(KINDS[damage](content, random.Random(seed)))
        try:
            found = load_result(sample)
        except ResultError:
            continue
        assert found.provenance == whole.provenance
        assert found.golds == whole.golds
        assert np.array_equal(found.log_probability, whole.log_probability, equal_nan=True)
