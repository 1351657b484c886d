"""Statistics: closed forms, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from interp.stats import Jackknife, binary_entropy, entropy, fdr_adjust, jaccard


def jackknife_of(statistic, sample: np.ndarray) -> Jackknife:
    without = [statistic(np.delete(sample, i, axis=0)) for i in range(len(sample))]
    return Jackknife(np.asarray(statistic(sample)), np.asarray(without))


def test_entropy_of_known_distributions():
    weights = np.array([[1.0, 1, 0], [1, 0, 0], [1, 0, 0], [1, 3, 0]])
    found = entropy(weights)
    assert found[0] == pytest.approx(np.log(4))
    assert found[1] == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    assert np.isnan(found[2])  # nothing ever happened: there is no distribution
    assert binary_entropy(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, np.log(2), 0])


def test_jackknife_of_a_mean_is_the_textbook_interval():
    sample = np.random.default_rng(0).normal(size=8)
    result = jackknife_of(np.mean, sample)
    assert result.value == pytest.approx(sample.mean())
    assert result.standard_error == pytest.approx(sample.std(ddof=1) / np.sqrt(8))
    expected = reference.t.interval(0.95, 7, loc=sample.mean(), scale=sample.std(ddof=1) / np.sqrt(8))
    assert np.array(result.interval()) == pytest.approx(np.array(expected))
    assert result.p_value() == pytest.approx(reference.ttest_1samp(sample, 0).pvalue)


def test_jackknife_removes_the_bias_of_the_plug_in_variance_exactly():
    sample = np.random.default_rng(1).normal(size=8)
    assert jackknife_of(np.var, sample).value == pytest.approx(sample.var(ddof=1))


def test_confidence_widens_the_interval():
    result = jackknife_of(np.mean, np.random.default_rng(0).normal(size=8))
    assert result.interval(0.99)[0] < result.interval(0.95)[0] < result.interval(0.5)[0]


def test_difference_pairs_blocks():
    rng = np.random.default_rng(0)
    shared, small = rng.normal(size=8) * 100, rng.normal(size=8)
    paired = jackknife_of(np.mean, shared + small + 5) - jackknife_of(np.mean, shared)
    assert paired.standard_error == pytest.approx(small.std(ddof=1) / np.sqrt(8))  # what is shared is gone
    with pytest.raises(ValueError, match="cannot pair 8 blocks with 7"):
        jackknife_of(np.mean, shared) - jackknife_of(np.mean, shared[:7])


def test_a_statistic_that_never_varies_is_certain_of_itself():
    same = Jackknife(np.array(0.0), np.zeros(8))
    assert same.p_value() == 1
    moved = Jackknife(np.array(1.0), np.ones(8))
    assert moved.p_value() == 0


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        low, high = jackknife_of(np.mean, rng.normal(3, 1, size=8)).interval()
        covered += low <= 3 <= high
    assert 0.93 <= covered / 1000 <= 0.97


def test_weighted_mean_keeps_its_replicates():
    result = Jackknife(np.array([1.0, 3.0]), np.array([[1.0, 2.0], [0.0, 4.0]]))
    assert result.mean().plug_in == 2
    assert result.mean(np.array([3.0, 1.0])).replicates == pytest.approx([1.25, 1.0])


def test_jaccard_of_masks_and_of_indices():
    a, b = np.array([True, True, False]), np.array([False, True, True])
    assert jaccard(a, b) == pytest.approx(1 / 3)
    assert jaccard(np.flatnonzero(a), np.flatnonzero(b)) == pytest.approx(1 / 3)
    assert np.isnan(jaccard(np.zeros(3, bool), np.zeros(3, bool)))


def test_fdr_is_benjamini_hochberg():
    assert fdr_adjust(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.04, 0.04])
