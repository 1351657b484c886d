"""Means, intervals and correlations of estimates by hand and by slow loops, nulls at their rate, and every
warning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analyses.comparison import compare
from interp.errors import ResultError
from interp.results import load_result
from interp.results.attribution import AttributionResult
from interp.results.estimates import mean_estimates
from interp.stats import cell_means, correlate
from tests.support.results.attribution import BLOCKS, CELLS, CODES, attribution_result, gaps, noise


def test_the_mean_is_over_pairs_and_then_over_languages():
    values = gaps()
    result = attribution_result(values)
    for cell in np.ndindex(3, 4, 2):
        means = []
        for a, code in enumerate(CODES):
            own = [values[f, a][cell] for f in range(24) if not np.isnan(values[f, a][cell])]
            assert result.estimates(code).plug_in[cell] == pytest.approx(np.mean(own), abs=1e-6)
            means.append(np.mean(own))
        assert result.estimates().plug_in[cell] == pytest.approx(np.mean(means), abs=1e-6)
        assert result.estimates(control=True).plug_in[cell] == pytest.approx(np.mean(means) / 10, abs=1e-6)


def test_a_language_without_pairs_has_no_part_in_the_mean():
    values = gaps()
    values[:, 1] = np.nan
    result = attribution_result(values)
    both = (result.estimates("en").plug_in + result.estimates("ja").plug_in) / 2
    assert result.estimates().plug_in == pytest.approx(both)
    assert np.isnan(result.estimates("sw").plug_in).all()
    assert result.to_frame("sw").n.tolist() == [0] * 24
    nothing = mean_estimates(np.zeros((2, 4, 1, 1, 1), dtype=np.float32), np.zeros((2, 4, 1), dtype=np.int64))
    assert np.isnan(nothing).all()


def test_intervals_leave_out_one_block_at_a_time():
    values = gaps()
    result = attribution_result(values)
    blocks = np.arange(24) // 2 % BLOCKS
    without = []
    for b in range(BLOCKS):
        kept = values[blocks != b]
        without.append(np.mean([np.nanmean(kept[:, a], axis=0) for a in range(3)], axis=0))
    error = np.sqrt(3 / 4 * ((without - np.mean(without, axis=0)) ** 2).sum(axis=0))
    half = stats.t.ppf(0.975, 3) * error
    table = result.to_frame()
    middle = result.estimates().plug_in
    assert table.estimate.to_numpy() == pytest.approx(middle.ravel())
    assert table.low.to_numpy() == pytest.approx((middle - half).ravel(), abs=1e-6)
    assert table.high.to_numpy() == pytest.approx((middle + half).ravel(), abs=1e-6)
    assert table.floor_high.to_numpy() == pytest.approx((middle + half).ravel() / 10, abs=1e-6)
    assert table.loc[13, ["layer", "unit", "position"]].tolist() == [1, 2, "last"]


def test_estimates_of_nothing_cover_zero_at_their_rate():
    inside = 0
    for seed in range(60):
        table = attribution_result(noise(64, 1, 1, 5, 1, seed=seed)).to_frame()
        inside += int(((table.low <= 0) & (table.high >= 0)).sum())
    assert 0.9 <= inside / 300 <= 0.99


def test_a_single_block_gives_no_interval():
    table = attribution_result(gaps(4), per_group=4).to_frame()
    assert table[["low", "high", "floor_low", "floor_high"]].isna().all().all()
    assert table.estimate.notna().all()


def test_a_block_without_pairs_is_no_evidence():
    values = gaps(24)
    values[np.arange(24) // 2 % BLOCKS == 3] = np.nan
    result = attribution_result(values)
    assert result.estimates().n_blocks == 3
    dropped = replace(result, sums=result.sums[:, :, :3], counts=result.counts[:, :, :3])
    assert dropped.to_frame().equals(result.to_frame())


def test_the_largest_come_first_whatever_their_sign():
    values = np.zeros((8, 2, 3, 4, 2))
    values[:, :, 1, 2, 0], values[:, :, 0, 3, 1], values[:, :, 2, 0, 1] = -3, 2, 1
    result = attribution_result(values)
    table = result.largest(2)
    assert table[["layer", "unit", "estimate"]].to_numpy().tolist() == [[1, 2, -3], [0, 3, 2]]
    assert len(result.largest(1000)) == 24
    assert "head 1.2 subject_last" in repr(result)
    assert "not verified" in repr(result)


def slow_correlation(x: list[float], y: list[float]) -> float:
    mx, my = sum(x) / len(x), sum(y) / len(y)
    over = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return over / (sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)) ** 0.5


def test_correlation_and_its_interval_equal_loops_that_leave_out_each_cluster():
    values = gaps() + 2 * noise(3, 4, 2, seed=8)
    noisy = values[:, :, *CELLS.T] + noise(24, 3, 6, seed=9)
    result = attribution_result(values, noisy, top=3, cells=CELLS)
    estimated, groups = result.estimated, np.arange(24) // 2
    alive = [g for g in range(12) if (~np.isnan(estimated[groups == g])).any()]

    def means(side: np.ndarray, weight: np.ndarray) -> list[float]:
        found = []
        for cell in range(6):
            per_language = []
            for a in range(3):
                total = n = 0.0
                for g, w in zip(alive, weight, strict=True):
                    for f in np.flatnonzero(groups == g):
                        if not np.isnan(side[f, a, cell]):
                            total, n = total + w * side[f, a, cell], n + w
                per_language += [total / n] if n else []
            found.append(sum(per_language) / len(per_language))
        return found

    table = result.correlation().set_index("cells")
    one = np.ones(len(alive))
    for name, chosen in (("top", slice(3)), ("random", slice(3, 6)), ("both", slice(6))):
        x, y = (means(side, one)[chosen] for side in (estimated, noisy))
        assert table.n[name] == len(x)
        assert table.pearson[name] == pytest.approx(slow_correlation(x, y))
        assert table.spearman[name] == pytest.approx(
            slow_correlation(*(stats.rankdata(side).tolist() for side in (x, y)))
        )
        assert table.slope[name] == pytest.approx(np.dot(x, y) / np.dot(x, x))
    without = [
        slow_correlation(*(means(s, one - (np.arange(len(alive)) == g)) for s in (estimated, noisy)))
        for g in range(len(alive))
    ]
    sizes = (
        np.array([(~np.isnan(estimated[groups == g])).sum() for g in alive]) / (~np.isnan(estimated)).sum()
    )
    x, y = (means(side, one) for side in (estimated, noisy))
    z, without = np.arctanh(slow_correlation(x, y)), np.arctanh(without)
    error = np.sqrt(((without - z) ** 2 * (1 - sizes)).sum())
    z -= (len(alive) - 1) * (without.mean() - z)
    fast = correlate(*(cell_means(s, result.groups) for s in (estimated, noisy)), slice(None))
    half = stats.t.ppf(0.975, fast.df) * error
    assert (fast.low, fast.high) == pytest.approx((np.tanh(z - half), np.tanh(z + half)))
    assert (fast.n, fast.n_clusters) == (6, len(alive))
    assert table.pearson_low["both"] < table.pearson["both"] < table.pearson_high["both"]


def test_verified_effects_are_means_with_intervals():
    values = gaps(60)
    effects = 2 * values[:, :, *CELLS.T] + 0.1
    result = attribution_result(values, effects, top=2, cells=CELLS)
    table = result.verified()
    assert table.chosen.tolist() == ["top"] * 2 + ["random"] * 4
    assert table.estimate.to_numpy() == pytest.approx(result.estimates().plug_in[*CELLS.T], abs=1e-6)
    assert table.effect.to_numpy() == pytest.approx(2 * table.estimate.to_numpy() + 0.1, abs=1e-6)
    assert (table.low < table.effect).all()
    assert (table.effect < table.high).all()
    assert table.n.tolist() == [(~np.isnan(effects[..., 0])).sum()] * 6
    english = result.verified("en")
    assert english.estimate.to_numpy() == pytest.approx(result.estimates("en").plug_in[*CELLS.T], abs=1e-6)
    assert result.correlation("en").pearson[2] == pytest.approx(1)


def test_two_cells_always_lie_on_a_line_so_they_have_no_correlation():
    result = attribution_result(gaps(), top=2, cells=CELLS[:4])
    assert result.correlation().pearson.isna().tolist() == [True, True, False]
    assert result.correlation().n.tolist() == [2, 2, 4]


def test_one_group_has_no_interval_and_is_not_relied_on():
    result = attribution_result(gaps(4), top=3, cells=CELLS, per_group=4)
    both = result.correlation().iloc[2]
    assert both.pearson == pytest.approx(1)
    assert np.isnan(both.pearson_low)
    assert "[nan, nan]" in result.low_correlation()
    assert result.verified().low.isna().all()


def test_low_correlation_warns_by_value_and_by_interval():
    values = np.broadcast_to(noise(3, 4, 2, seed=4), (40, 3, 3, 4, 2)) + 0.1 * noise(40, 3, 3, 4, 2)
    truth = values[:, :, *CELLS.T]
    assert attribution_result(values, truth, top=3, cells=CELLS).low_correlation() == ""
    assert (
        attribution_result(values, -truth, top=3, cells=CELLS)
        .low_correlation()
        .startswith(
            "Estimates and true effects of 6 patched cells have a correlation of -1.00 [-1.00, -1.00]; at "
            "least 0.8"
        )
    )
    middling = truth + 1.2 * np.array([1, 0, -1, 0, 1, 0])  # the same in all facts, so the interval is narrow
    half = attribution_result(values, middling, top=3, cells=CELLS)
    assert 0.5 < half.correlation().pearson_low[2] < half.correlation().pearson[2] < 0.8
    assert half.low_correlation() != ""
    few_rule = np.where(np.arange(40) < 4, 25.0, -1.5)  # against the rest
    wide = truth * few_rule[:, None, None]
    found = attribution_result(values, wide, top=3, cells=CELLS)
    both = found.correlation().iloc[2]
    assert both.pearson > 0.8 > 0.5 > both.pearson_low
    assert found.diagnostics()[0] == found.low_correlation() != ""
    flat = 5 + 1e-7 * noise(40, 3, 6)
    assert np.isnan(attribution_result(values, flat, top=3, cells=CELLS).correlation().pearson[2])
    assert "correlation of nan" in attribution_result(values, flat, top=3, cells=CELLS).low_correlation()
    assert attribution_result(values, np.zeros_like(truth), top=3, cells=CELLS).low_correlation() != ""
    assert attribution_result(values).low_correlation() == ""  # nothing was verified


def test_unrelated_estimates_are_rarely_taken_as_high():
    warned = 0
    for seed in range(40):
        values, effects = noise(40, 1, 3, 4, 2, seed=seed), noise(40, 1, 6, seed=100 + seed)
        warned += attribution_result(values, effects, top=3, cells=CELLS).low_correlation() != ""
    assert warned >= 39


def test_quantities_count_each_cell_in_the_direction_of_its_estimate():
    values = np.zeros((6, 2, 3, 4, 2))
    values[..., 2, 3, 1], values[..., 0, 0, 0] = 3.0, -1.0
    values[1, 1] = np.nan
    effects = values[:, :, *CELLS.T] / 2
    result = attribution_result(values, effects, top=2, cells=CELLS)
    found = result.quantities()
    assert found["estimate of the top heads"] == pytest.approx(np.full(6, 2.0))
    assert found["true effect of the top heads"] == pytest.approx(np.full(6, 1.0))
    assert found["true effect of the random heads"] == pytest.approx(np.zeros(6))
    assert found["clean logit_diff"].tolist() == [2.0] * 6
    assert found["corrupt logit_diff"].tolist() == [-1.0] * 6
    assert set(attribution_result(values).quantities()) == {"clean logit_diff", "corrupt logit_diff"}
    assert result.summary().set_index("quantity")["mean"]["true effect of the top heads"] == pytest.approx(1)


def test_results_are_saved_compared_and_refused(tmp_path):
    values = gaps()
    one = attribution_result(values, top=3, cells=CELLS)
    other = attribution_result(2 * values, top=3, cells=CELLS, name="b")
    back = load_result(one.save(tmp_path / "a.npz"))
    assert isinstance(back, AttributionResult)
    assert back.correlation().equals(one.correlation())
    assert (back.top, back.positions, back.unit) == (one.top, one.positions, one.unit)
    changes = compare(one, other).table.set_index("quantity")
    assert changes.after["estimate of the top heads"] == pytest.approx(
        2 * changes.before["estimate of the top heads"]
    )
    with pytest.raises(ResultError, match=r"No language 'de' in this result; there is: en, sw, ja"):
        one.estimates("de")
    with pytest.raises(ResultError, match=r"No language 'de'"):
        one.correlation("de")


def test_doubts_are_in_words():
    values = gaps(80)
    sure = attribution_result(values, top=3, cells=CELLS)
    assert sure.diagnostics() == []
    few = attribution_result(gaps(8))
    assert few.diagnostics() == [
        f"{int((few.left_out == 0).any(axis=1).sum())} facts in 4 clusters: with fewer than 20 clusters "
        "intervals are wide, "
        "and right only if no cluster is very unlike the others."
    ]
    flat = replace(sure, clean=sure.corrupt)
    assert (
        "Clean runs are not better than corrupt ones by logit_diff (mean difference 0)"
        in flat.diagnostics()[0]
    )
    alone = replace(sure, counts=sure.counts * np.array([1, 0]).reshape(2, 1, 1, 1))
    assert alone.diagnostics() == ["No unrelated fact could serve as a control, so there is no noise floor."]
    assert alone.to_frame().floor.isna().all()
    assert "by an unrelated fact +nan" in repr(alone)
