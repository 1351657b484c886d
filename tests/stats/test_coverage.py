"""Intervals hold a known truth as often as they say; the long comparison is in tests/truth/intervals.md."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.stats import (
    clustered_mean,
    clustered_share,
    holm,
    paired_difference,
    ratio_of_means,
)
from tests.truth.simulate_intervals import HERE
from tests.truth.simulated import sample

REPETITIONS = 2000
ICC = (0.0, 0.2, 0.6)


def covered(found, truth: float) -> float:
    return float(np.mean((found.low <= truth + 1e-12) & (truth <= found.high + 1e-12)))


@pytest.mark.parametrize("clusters", [4, 8, 16, 64])
def test_means_hold_at_93_to_97_percent(clusters):
    rng = np.random.default_rng(clusters)
    for sizes in ("equal", "unequal"):
        for icc in ICC:
            drawn = sample(rng, "normal", sizes, clusters, icc, REPETITIONS)
            found = clustered_mean(drawn.values, drawn.labels)
            assert 0.93 <= covered(found, drawn.truth) <= 0.97, (sizes, icc)
            assert 0.03 <= np.mean(found.p < 0.05) <= 0.07, (sizes, icc)


def test_two_clusters_are_enough_for_an_interval_that_holds():
    drawn = sample(np.random.default_rng(0), "normal", "equal", 2, 0.2, REPETITIONS)
    assert 0.93 <= covered(clustered_mean(drawn.values, drawn.labels), drawn.truth) <= 0.97


@pytest.mark.parametrize(("p", "least"), [(0.5, 0.93), (0.1, 0.9), (0.005, 0.92)])
def test_shares_hold_where_they_are_rare_and_facts_alike(p, least):
    rng = np.random.default_rng(1)
    for clusters in (8, 24, 64):
        for icc in ICC:
            drawn = sample(rng, f"share {p}", "unequal", clusters, icc, 1000)
            found = clustered_share(drawn.values, drawn.labels)
            assert covered(found, p) >= least, (clusters, icc)
            assert (found.high > found.low).all()


def test_changes_of_shares_hold_where_few_facts_change():
    rng = np.random.default_rng(2)
    for p in (0.1, 0.03, 0.01):
        drawn = sample(rng, f"change {p}", "single facts", 100, 0.0, 1000)
        found = paired_difference(drawn.values, np.zeros_like(drawn.values), share=True)
        assert covered(found, drawn.truth) >= 0.93, p


def test_ratios_hold_and_say_when_there_is_nothing_to_divide_by():
    rng = np.random.default_rng(3)
    for clusters in (4, 16):
        drawn = sample(rng, "normal", "unequal", clusters, 0.2, REPETITIONS)
        below = 1 + drawn.values
        found = ratio_of_means(0.5 * (below + drawn.another(rng, "normal", 0.2)), below, drawn.labels)
        given = ~np.isnan(found.low)
        held = (found.low[given] <= 0.5) & (found.high[given] >= 0.5)
        assert 0.93 <= held.mean() <= 0.97
        shown = clustered_mean(below, drawn.labels).low > 0
        assert (given == shown).all()


def test_the_effect_that_is_printed_is_found_in_80_percent():
    rng = np.random.default_rng(4)
    for clusters, icc in ((4, 0.0), (8, 0.2), (24, 0.6)):
        first, second = (sample(rng, "normal", "equal", clusters, icc, 4000) for _ in range(2))
        effect = clustered_mean(first.values, first.labels).mde()
        found = clustered_mean(second.values + effect, second.labels)
        assert np.mean(found.p < 0.05) == pytest.approx(0.8, abs=0.02)


def test_of_a_family_of_null_comparisons_few_have_any_finding():
    """100 families of 12 languages x 18 layers x 5 checkpoints over 24 clusters."""
    rng, any_found = np.random.default_rng(5), 0
    for _ in range(100):
        drawn = sample(rng, "normal", "equal", 24, 0.2, 12 * 18 * 5)
        shared = sample(rng, "normal", "equal", 24, 0.2, 1).values
        any_found += holm(clustered_mean(drawn.values + shared, drawn.labels).p).min() < 0.05
    assert any_found <= 11  # 5 and twice the error


def test_the_committed_simulation_says_what_the_docstrings_do():
    table = pd.read_csv(HERE / "intervals.csv")
    normal = table[table.quantity == "mean, normal"].groupby(["method", "clusters"]).held.mean()
    assert normal["t, CR2 (ours)"].between(0.94, 0.96).all()
    assert normal["percentile", 4] == pytest.approx(0.79, abs=0.01)
    assert normal["percentile", 16] == pytest.approx(0.91, abs=0.01)
