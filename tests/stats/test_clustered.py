"""Intervals over clusters by hand and by their slow definitions; corrections; what could have been found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference
from scipy.linalg import sqrtm

from interp.stats import (
    Jackknife,
    cell_means,
    clustered_mean,
    clustered_share,
    correlate,
    family_wise,
    fdr_adjust,
    few_clusters,
    holm,
    known_mean,
    mde,
    paired_difference,
    ratio,
    ratio_of_means,
    shares_of_total,
)


def test_holm_by_hand():
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.6, 0.5])) == pytest.approx([1, 1])


def test_holm_of_ties_and_of_tests_without_a_p():
    assert holm(np.array([0.02, 0.02, 0.9])) == pytest.approx([0.06, 0.06, 0.9])
    found = holm(np.array([[np.nan, 0.02], [0.01, np.nan]]))
    assert found[0, 1] == pytest.approx(0.02)
    assert found[1, 0] == pytest.approx(0.02)  # of two tests, not four
    assert np.isnan(found[[0, 1], [0, 1]]).all()
    assert np.isnan(holm(np.array([np.nan]))).all()
    assert holm(np.zeros(0)).shape == (0,)


def test_holm_bounds_the_chance_of_one_false_positive():
    rng = np.random.default_rng(6)
    any_found = np.mean([holm(rng.random(20)).min() < 0.1 for _ in range(2000)])
    assert any_found == pytest.approx(1 - (1 - 0.1 / 20) ** 20, abs=0.025)


def test_a_family_is_corrected_over_all_its_members():
    found = family_wise({"sft": np.array([0.01, 0.2]), "grpo": np.array([[0.04, np.nan]])}, "2 checkpoints")
    assert found.n == 3
    assert found.adjusted["sft"] == pytest.approx([0.03, 0.2])
    assert found.adjusted["grpo"].shape == (1, 2)
    assert found.adjusted["grpo"][0, 0] == pytest.approx(0.08)
    assert repr(found) == "Holm's correction over 3 tests (2 checkpoints); least p 0.03"
    assert family_wise({}, "nothing").n == 0


def test_a_mean_of_independent_facts_is_the_textbooks():
    values = np.random.default_rng(0).normal(0.3, 1, size=12)
    found = clustered_mean(values)
    test = reference.ttest_1samp(values, 0)
    assert (found.estimate, found.p, found.df) == pytest.approx((values.mean(), test.pvalue, 11))
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval()))
    assert (found.n, found.n_clusters) == (12, 12)
    wide = clustered_mean(values, confidence=0.99)
    assert wide.low < found.low < found.high < wide.high


def test_the_variance_over_clusters_and_its_degrees_of_freedom_by_matrices():
    """Bell & McCaffrey: residuals times (I - H)^(-1/2) in each cluster; df from traces of the form."""
    rng, sizes = np.random.default_rng(1), [1, 2, 3, 7]
    values, codes = rng.normal(size=13), np.repeat(range(4), sizes)
    n, residual = len(values), values - values.mean()
    hat = np.full((n, n), 1 / n)
    variance, columns = 0.0, []
    for g in range(4):
        here = codes == g
        adjust = np.linalg.inv(sqrtm(np.eye(here.sum()) - hat[np.ix_(here, here)])).real
        variance += (np.ones(here.sum()) @ adjust @ residual[here]) ** 2 / n**2
        columns.append((np.eye(n) - hat)[:, here] @ adjust @ np.ones(here.sum()) / n)
    form = np.stack(columns, axis=1).T @ np.stack(columns, axis=1)
    found = clustered_mean(values, codes.tolist())
    assert found.standard_error == pytest.approx(np.sqrt(variance))
    assert found.df == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))
    assert found.high - found.estimate == pytest.approx(reference.t.ppf(0.975, found.df) * np.sqrt(variance))


def test_equal_clusters_are_their_means():
    values = np.random.default_rng(2).normal(size=(7, 5))
    found = clustered_mean(values.ravel(), np.repeat(range(7), 5).tolist())
    low, high = reference.ttest_1samp(values.mean(axis=1), 0).confidence_interval()
    assert (found.low, found.high, found.df) == pytest.approx((low, high, 6))


def test_cells_are_estimated_each_for_itself_and_without_what_is_missing():
    rng = np.random.default_rng(3)
    values, labels = rng.normal(size=(30, 2, 3)), [f"c{i // 4}" for i in range(30)]
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 1, 2] = np.nan
    found = clustered_mean(values, labels)
    for cell in np.ndindex(2, 3):
        known = ~np.isnan(values[:, *cell])
        alone = clustered_mean(values[known][:, *cell], [g for g, k in zip(labels, known, strict=True) if k])
        for name, value in vars(alone).items():
            if name != "method":
                assert getattr(found, name)[cell] == pytest.approx(value, nan_ok=True), name
    assert found.n[1, 2] == found.n_clusters[1, 2] == 0
    assert np.isnan(found.estimate[1, 2])


def test_the_order_of_facts_and_the_unit_do_not_matter():
    rng = np.random.default_rng(4)
    values, labels = rng.normal(size=40), np.repeat(range(10), 4)
    found, order = clustered_mean(values, labels.tolist()), rng.permutation(40)
    turned = clustered_mean(values[order], labels[order].tolist())
    assert (turned.low, turned.high, turned.p) == pytest.approx((found.low, found.high, found.p))
    moved = clustered_mean(3 * values + 5, labels.tolist())
    assert (moved.low, moved.high) == pytest.approx((3 * found.low + 5, 3 * found.high + 5))
    back = paired_difference(np.zeros(40), values, labels.tolist())
    assert (back.low, back.high, back.p) == pytest.approx((-found.high, -found.low, found.p))
    assert paired_difference(values + 9, np.full(40, 9.0)).low == pytest.approx(clustered_mean(values).low)


def test_one_cluster_has_no_interval():
    found = clustered_mean(np.arange(5.0), ["a"] * 5)
    assert (found.estimate, found.n, found.n_clusters) == (2, 5, 1)
    assert np.isnan([found.low, found.high, found.p, found.standard_error, found.mde()]).all()
    assert not found.excludes(0)
    share = clustered_share(np.ones(5), ["a"] * 5)
    assert share.estimate == 1
    assert np.isnan([share.low, share.high]).all()
    ratio = ratio_of_means(np.ones((5, 1)), np.ones(5), ["a"] * 5)
    assert ratio.estimate == [1]
    assert np.isnan([ratio.low, ratio.high]).all()
    for n, g, said in (
        (5, 1, "5 facts in 1 cluster: no interval can be given, because at least 2 clusters are needed."),
        (
            60,
            19,
            "60 facts in 19 clusters: with fewer than 20 clusters intervals are wide, and right only if",
        ),
    ):
        (text,) = few_clusters(n, g)
        assert text.startswith(said)
    assert few_clusters(60, 20) == []


def test_what_never_varies():
    same = np.random.default_rng(0).random(20)
    found = paired_difference(same, same)
    assert (found.estimate, found.p) == (0, 1)
    moved = paired_difference(same + 1, same)
    assert moved.estimate == pytest.approx(1)
    for each in (found, moved):  # nothing says how much another cluster would differ
        assert np.isnan([each.low, each.high, each.mde()]).all()
        assert not each.excludes(0)
    assert moved.p == pytest.approx(2**-19)  # all signs alike
    thirds = clustered_mean(np.array([0.1, 0.2, -0.3] * 10), (np.arange(30) // 3).tolist())
    assert (thirds.p, thirds.standard_error) == (1, 0)  # rounding is no spread


def test_no_change_of_a_share_is_no_certainty():
    right = np.ones(100)
    found = paired_difference(right, right, share=True)
    assert (found.estimate, found.p) == (0, 1)
    assert (found.low, found.high) == pytest.approx((-0.0198, 0.0198), abs=1e-4)
    grouped = paired_difference(right, right, np.repeat(range(20), 5).tolist(), share=True)
    assert grouped.high == pytest.approx(
        reference.t.ppf(0.975, 19) * np.sqrt(3) / 100
    )  # 1 + (5 - 1) / 2 more
    worst = paired_difference(np.array([0.0, 0, 1]), np.array([1.0, 1, 1]), share=True)
    assert worst.low == -1
    rng = np.random.default_rng(5)
    many = paired_difference(*rng.random((2, 2000)), share=True)
    plain = paired_difference(*np.random.default_rng(5).random((2, 2000)))
    assert many.standard_error == pytest.approx(plain.standard_error, rel=1e-3)


def test_a_share_at_0_and_1_and_between():
    none, all_right = clustered_share(np.zeros(100)), clustered_share(np.ones(100))
    t = reference.t.ppf(0.975, 99)
    assert (none.low, none.high) == pytest.approx((0, t**2 / (100 + t**2)))
    assert (all_right.low, all_right.high) == pytest.approx((1 - none.high, 1))
    clusters = np.repeat(range(20), 5).tolist()
    t, n = reference.t.ppf(0.975, 19), 100 / 3  # a fact more that is right has 4 others half alike
    assert clustered_share(np.zeros(100), clusters).high == pytest.approx(t**2 / (n + t**2))
    rng = np.random.default_rng(6)
    some = (rng.random(100) < 0.3).astype(float)
    found, turned = clustered_share(some, clusters), clustered_share(1 - some, clusters)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))
    assert 0 < found.low < found.estimate == some.mean() < found.high < 1
    alike = clustered_share(np.repeat(some[:20], 5), clusters)
    apart = clustered_share(np.repeat(some[:20], 5))
    assert alike.high - alike.low > 1.5 * (apart.high - apart.low)
    assert clustered_share(some[:, None].repeat(2, axis=1), clusters).high == pytest.approx([found.high] * 2)


def test_p_of_a_share_is_that_of_the_null_and_fits_the_interval():
    some = (np.arange(60) % 3 == 0).astype(float)
    clusters = np.repeat(range(20), 3).tolist()
    found = clustered_share(some, clusters)
    assert np.isnan(found.p)
    for null in (found.low, found.high):
        assert clustered_share(some, clusters, null=float(null)).p == pytest.approx(0.05)
    assert clustered_share(some, clusters, null=1 / 3).p == pytest.approx(1)
    assert clustered_share(np.full(9, 1 + 1e-15)).estimate == 1  # a sum of weights, up to rounding
    with pytest.raises(ValueError, match=r"shares are 0 to 1, but there are 0 and 1\.2"):
        clustered_share(np.array([0.0, 1.2]))


def test_a_ratio_is_what_the_difference_does_not_exclude():
    rng, labels = np.random.default_rng(7), [f"c{i // 3}" for i in range(40)]
    below = 1 + 0.5 * rng.normal(size=40)
    above = (0.4 * below + 0.3 * rng.normal(size=40))[:, None]
    found = ratio_of_means(above, below, labels)
    assert found.estimate[0] == pytest.approx(above.mean() / below.mean())
    for end in (found.low[0], found.high[0]):
        assert clustered_mean(above[:, 0] - end * below, labels).p == pytest.approx(0.05)
    assert found.p[0] == clustered_mean(above[:, 0], labels).p
    flipped = ratio_of_means(above, -below, labels)
    assert np.isnan([flipped.estimate, flipped.low, flipped.high]).all()
    vague = ratio_of_means(above, below - below.mean() + 0.01, labels)
    assert vague.estimate[0] > 1
    assert np.isnan([vague.low, vague.high]).all()  # what is below could be nothing


def test_the_mean_of_one_language_is_the_mean_over_clusters():
    rng, labels = np.random.default_rng(8), [f"c{i // 3}" for i in range(40)]
    values = rng.normal(size=(40, 1, 4))
    values[rng.random(values.shape[:2]) < 0.2] = np.nan
    n = (~np.isnan(values)).sum(axis=(0, 1))
    two, one = cell_means(values, labels).estimate(n), clustered_mean(values[:, 0], labels)
    for name in ("estimate", "low", "high", "p", "standard_error"):
        assert getattr(two, name) == pytest.approx(getattr(one, name)), name
    assert (two.n_clusters, two.df) == (one.n_clusters[0], pytest.approx(one.df[0]))


def test_the_effect_that_could_have_been_found():
    assert mde(1.0, 1e6) == pytest.approx(reference.norm.ppf(0.975) + reference.norm.ppf(0.8), abs=1e-3)
    found = mde(np.array([0.1, 0.2, np.nan, 0.1]), np.array([23.0, 23.0, 23.0, np.nan]))
    assert found[1] == pytest.approx(2 * found[0])
    assert np.isnan(found[2:]).all()
    rng = np.random.default_rng(9)
    for df in (2, 3, 7, 23):
        printed, new = np.sqrt(rng.chisquare(df, (2, 400_000)) / df)  # standard errors of two samples
        t = (rng.normal(size=400_000) + mde(1.0, df) * printed) / new
        assert np.mean(t > reference.t.ppf(0.975, df)) == pytest.approx(0.8, abs=0.004), df
    assert mde(1.0, 3) > mde(1.0, 7) > mde(1.0, 23) > mde(1.0, 1e6)
    assert mde(1.0, 23, power=0.9) > mde(1.0, 23) > mde(1.0, 23, alpha=0.1)


def test_columns_for_a_table():
    found = clustered_mean(np.arange(4.0), list("aabb"))
    assert list(found.columns("mean")) == ["n", "n_clusters", "mean", "low", "high"]
    assert list(found.columns("floor", "floor_", counts=False)) == ["floor", "floor_low", "floor_high"]
    assert clustered_mean(np.arange(1.0, 9)).excludes(0)
    with pytest.raises(ValueError, match="2 labels for 3 facts"):
        clustered_mean(np.zeros(3), ["a", "b"])


def test_means_and_ratios_of_what_is_known():
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert known_mean(values) == 2
    assert known_mean(values, axis=0)[0] == 2
    assert np.isnan(known_mean(values, axis=0)[1])
    assert np.isnan(known_mean(np.array([np.nan])))
    assert ratio(np.array([1.0, 1, 1]), np.array([2.0, 0, -1]))[0] == 0.5
    assert np.isnan(ratio(np.array([1.0, 1]), np.array([0.0, -1]))).all()
    assert shares_of_total(np.array([[1.0, 3], [0, 0]]), axis=1).tolist() == [[0.25, 0.75], [0, 0]]


def test_a_statistic_that_is_not_a_number_has_no_p():
    assert np.isnan(Jackknife(np.array(np.nan), np.full(8, np.nan)).p_value())
    assert np.isnan(fdr_adjust(np.array([0.01, np.nan]))[1])
    assert fdr_adjust(np.array([0.01, np.nan]))[0] == pytest.approx(0.01)


@pytest.mark.parametrize("clusters", [2, 8, 30])
def test_nothing_has_an_interval_of_width_zero(clusters):
    """A mean, a difference, a ratio, a correlation and a jackknife without spread have none."""
    labels = np.repeat(range(clusters), 3).tolist()
    n, below = len(labels), 1 + np.random.default_rng(0).random(len(labels))
    blocks = np.full((clusters, 2), 0.4)
    cells = cell_means(np.broadcast_to(np.arange(5.0), (n, 1, 5)), labels)
    jackknife = Jackknife(np.array([0.4, 0.4]), blocks)
    found = {
        "mean": clustered_mean(np.full(n, 0.4), labels),
        "difference": paired_difference(np.full(n, 0.4), np.zeros(n), labels),
        "ratio": ratio_of_means(0.5 * below[:, None], below, labels),
        "cells": cells.estimate(np.full(5, n)),
        "correlation": correlate(cells, cells, slice(None)),
    }
    for name, each in found.items():
        assert np.isnan(np.ravel([each.low, each.high])).all(), name
        assert not np.isnan(each.estimate).any(), name
    assert np.isnan(jackknife.interval()).all()
    assert jackknife.p_value() == pytest.approx(2.0 ** (1 - clusters))
    assert np.isnan(jackknife.mde()).all()
    share = clustered_share(np.ones(n), labels)  # of a share one more event is assumed
    assert share.low < share.high


def test_weighted_holm_by_hand():
    """Two tests with half of the error rate each to one, and to two others a quarter each."""
    found = holm(np.array([0.02, 0.02, 0.9]), np.array([0.5, 0.25, 0.25]))
    assert found == pytest.approx([0.02 / 0.5, 0.02 * 0.5 / 0.25, 0.9])
    assert holm(np.array([0.04, 0.01, 0.03]), np.full(3, 7.0)) == pytest.approx([0.06, 0.03, 0.06])
    family = family_wise({"mean": np.array(0.02), "layers": np.array([0.02, 0.9])}, "x", main={"mean"})
    assert family.adjusted["mean"] == pytest.approx(0.04)
    assert family.adjusted["layers"] == pytest.approx([0.04, 0.9])
    assert family.levels == {"mean": pytest.approx(0.025), "layers": pytest.approx(0.0125)}
    alone = family_wise({"mean": np.array([0.02, 0.5])}, "x", main={"mean"})
    assert alone.adjusted["mean"] == pytest.approx([0.04, 0.5])
    assert np.isnan(family_wise({"mean": np.array(np.nan)}, "x", main={"mean"}).adjusted["mean"])


def test_weighted_holm_bounds_the_chance_of_one_false_positive():
    rng, weights = np.random.default_rng(6), np.repeat([0.25, 0.5 / 18], [2, 18])
    any_found = np.mean([holm(rng.random(20), weights).min() < 0.1 for _ in range(2000)])
    assert any_found == pytest.approx(1 - np.prod(1 - 0.1 * weights), abs=0.02)


def test_what_would_have_been_found_is_known_at_any_level():
    levels = [0.05 / n for n in (1, 15, 1080)]
    for df in (1, 3, 7, 23):
        found = [mde(1.0, df, alpha=level) for level in levels]
        assert np.all(np.diff(found) > 0)
    assert np.isnan(mde(0.0, 7))
