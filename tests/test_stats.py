"""Statistics: closed forms, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from interp.stats import (
    Jackknife,
    binary_entropy,
    bootstrap,
    entropy,
    fdr_adjust,
    jaccard,
    paired_bootstrap,
    wilson,
)


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


def test_a_statistic_that_never_varies_is_as_certain_as_equal_signs_of_its_blocks():
    same = Jackknife(np.array(0.0), np.zeros(8))
    assert same.p_value() == 1
    moved = Jackknife(np.array(1.0), np.ones(8))
    assert moved.p_value() == 2.0**-7  # all 8 blocks on one side, of which side none was said


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


def test_bootstrap_of_three_facts_by_all_27_resamples():
    """Gains -1, 0, 5: the resampled mean is negative in 7 of 27 resamples and zero in one."""
    a, b = np.array([0.0, 2.0, 6.0]), np.array([1.0, 2.0, 1.0])
    found = paired_bootstrap(a, b, draws=40_000)
    assert found.difference == pytest.approx(4 / 3)
    assert (found.low, found.high) == (
        -1.0,
        5.0,
    )  # 1 of 27 resamples is the same fact three times: 3.7 % > 2.5 %
    assert found.p == pytest.approx(2 * 8 / 27, abs=0.015)
    assert found.published_p == pytest.approx(found.p, abs=1e-4)
    assert (found.n, found.n_clusters, found.draws) == (3, 3, 40_000)


def slow_bootstrap(gain: list[float], index: np.ndarray, groups: list[str] | None = None):
    """Means of the resamples of ``index``, one by one, then the interval and both p-values."""
    names = list(dict.fromkeys(groups)) if groups else list(range(len(gain)))
    members = {name: [x for x, g in zip(gain, groups or names, strict=True) if g == name] for name in names}
    means = []
    for row in index.tolist():
        drawn = [x for i in row for x in members[names[i]]]
        means.append(sum(drawn) / len(drawn))
    below, above = sum(m <= 0 for m in means), sum(m >= 0 for m in means)
    draws = len(means)
    return (
        *np.percentile(means, [2.5, 97.5]),
        2 * (min(below, above) + 1) / (draws + 1),
        max(2 * min(below, above) / draws, 1 / draws),
    )


@pytest.mark.parametrize("groups", [None, ["x", "y", "x", "z", "z", "y", "x", "w", "v", "u"]])
def test_bootstrap_equals_its_definition(groups):
    gain = np.random.default_rng(2).normal(0.4, 1, size=10)
    n = len(set(groups)) if groups else 10
    index = np.random.default_rng(7).integers(0, n, (500, n))
    found = paired_bootstrap(gain + 3, np.full(10, 3.0), draws=500, seed=7, groups=groups)
    assert found.n_clusters == n
    expected = slow_bootstrap(gain.tolist(), index, groups)
    assert (found.low, found.high, found.p, found.published_p) == pytest.approx(expected)


def test_bootstrap_in_parts_draws_the_same_resamples(monkeypatch):
    a, b = np.random.default_rng(3).normal(size=(2, 50))
    whole = paired_bootstrap(a, b, draws=1000)
    monkeypatch.setattr(bootstrap, "_CHUNK", 7 * 50)
    assert paired_bootstrap(a, b, draws=1000) == whole


def test_bootstrap_laws():
    a, b = np.random.default_rng(4).normal(size=(2, 60))
    found, back = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert (back.difference, back.low, back.high, back.p) == pytest.approx(
        (-found.difference, -found.high, -found.low, found.p)
    )
    shifted = paired_bootstrap(a + 9, b + 9)
    assert (shifted.low, shifted.high) == pytest.approx((found.low, found.high))  # what is shared is gone
    assert paired_bootstrap(a, b, groups=[f"Q{i}" for i in range(60)]) == found  # groups of one are facts
    assert paired_bootstrap(a, b, seed=1).low != found.low
    assert paired_bootstrap(a, b, confidence=0.5).low > found.low


def test_a_model_against_itself_differs_by_nothing_with_certainty():
    same = np.random.default_rng(0).random(20)
    found = paired_bootstrap(same, same, draws=100)
    assert (found.difference, found.low, found.high, found.p, found.published_p) == (0, 0, 0, 1, 1)


def test_smallest_p_values_say_how_many_draws_there_were():
    found = paired_bootstrap(np.ones(5), np.zeros(5), draws=999)
    assert found.p == pytest.approx(2 / 1000)
    assert found.published_p == pytest.approx(1 / 999)


def test_rounding_error_counts_as_zero_on_both_sides():
    thirds = np.array([0.1, 0.2, -0.3] * 10)
    found = paired_bootstrap(thirds, np.zeros(30), draws=2000)
    exact = paired_bootstrap(np.array([1.0, 2.0, -3.0] * 10), np.zeros(30), draws=2000)
    assert (found.p, found.published_p) == (exact.p, exact.published_p)


def test_bootstrap_rejects_a_null_as_often_as_it_says_and_only_by_clusters_when_facts_repeat():
    rng = np.random.default_rng(5)
    rejected = {"facts": 0, "clusters": 0, "ignored": 0}
    for i in range(300):
        gain = rng.normal(size=50)
        repeated, labels = np.repeat(gain, 4), [j // 4 for j in range(200)]
        zero, settings = np.zeros(200), {"draws": 400, "seed": i}
        rejected["facts"] += paired_bootstrap(gain, zero[:50], **settings).p < 0.05
        rejected["clusters"] += paired_bootstrap(repeated, zero, groups=labels, **settings).p < 0.05
        rejected["ignored"] += paired_bootstrap(repeated, zero, **settings).p < 0.05
    assert rejected["facts"] == rejected["clusters"]
    assert 0.02 <= rejected["facts"] / 300 <= 0.085
    assert rejected["ignored"] / 300 > 0.25  # four copies of a fact are not four facts


def test_bootstrap_refuses_what_cannot_be_paired():
    with pytest.raises(ValueError, match="2 labels for 3 facts"):
        paired_bootstrap(np.zeros(3), np.ones(3), groups=["a", "b"])
    with pytest.raises(ValueError, match="1 of 3 paired facts are not finite"):
        paired_bootstrap(np.array([0.0, np.nan, 1.0]), np.ones(3))
    with pytest.raises(ValueError, match="0 of 0 paired facts"):
        paired_bootstrap(np.zeros(0), np.zeros(0))


def test_wilson_by_hand():
    z = reference.norm.ppf(0.975)
    center, half = (
        (8 + z**2 / 2) / (10 + z**2),
        z / (10 + z**2) * np.sqrt(8 * 2 / 10 + z**2 / 4),
    )
    assert wilson(8, 10) == pytest.approx((center - half, center + half))
    assert wilson(0, 10) == pytest.approx((0, z**2 / (10 + z**2)))
    assert wilson(8, 10, 0.5)[0] > wilson(8, 10)[0]
