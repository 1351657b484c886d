"""What probing keeps: balanced accuracy by hand, its interval against a direct bootstrap, comparison, saved
files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analyses.comparison import compare
from interp.errors import ResultError
from interp.results import load_result
from interp.results.base import Provenance
from probes.layers import layer_name
from probes.linear import balanced_accuracy
from probes.results import ProbeResult
from tests.support.golden import golden
from tests.support.results.probes import LANGUAGES, probe_result, random_probe_result


def test_scores_by_hand():
    """Two facts of class 0, both right; two of class 1, of which one is; in the other language all wrong."""
    correct = np.zeros((2, 1, 2, 2, 4))
    correct[:, 0, 0, 0] = [1, 1, 1, 0]
    result = probe_result(correct, np.array([[0, 0], [0, 1], [1, 1], [1, 1]]))
    assert result.matrix()[0].tolist() == [[0.75, 0], [0, 0]]
    assert result.curves()["accuracy"].mean() == pytest.approx(0.375)
    # B = 3/4; n / (K n_y) = 1; class 0 is at its share 1, class 1 half above and half below its share 1/2
    assert result.earned[0, 0, 0, 0].tolist() == [0.75, 0.75, 1.25, 0.25]
    assert result.chance == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_means_are_balanced_accuracies(seed):
    """Of guesses made from labels; strata apart, weighed by their facts."""
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=(60, 3))
    labels[:9] = np.repeat(np.arange(3), 3)[:, None]
    guess = random.integers(3, size=(2, 4, 3, 3, 60))
    strata = ["r" if i % 3 else "s" for i in range(60)]
    result = probe_result(guess == labels.T, labels, strata=strata)
    inside = [np.array(strata) == name for name in "rs"]
    for a, b in [(0, 0), (0, 2), (2, 1)]:
        expected = sum(
            rows.mean() * balanced_accuracy(labels[rows, b], guess[1, 2, a, b, rows]) for rows in inside
        )
        assert result.matrix("centered")[2, a, b] == pytest.approx(expected)
    everything = probe_result(guess == labels.T, labels)
    expected = np.mean([balanced_accuracy(labels[:, a], guess[0, 3, a, a]) for a in range(3)])
    assert everything.curves()["accuracy"][3].mean() == pytest.approx(expected)
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    expected = np.mean([balanced_accuracy(labels[:, b], guess[1, 3, a, b]) for a, b in pairs])
    assert everything.curves()["transfer centered"][3].mean() == pytest.approx(expected)


def test_one_probe_for_all_languages_is_balanced_over_all_of_them():
    labels = np.tile(np.arange(3), (10, 1))
    correct = np.zeros((1, 1, 1, 3, 10))
    correct[0, 0, 0, 0], correct[0, 0, 0, 1, :5] = 1, 1
    result = probe_result(correct, labels, joint=True)
    assert result.matrix()[0].tolist() == [[1, 0.5, 0]]
    assert result.curves()["accuracy"][0] == pytest.approx([2 / 3] * 5 + [1 / 3] * 5)
    assert set(result.curves()) == {"accuracy", "control", "selectivity"}
    dealt = np.random.default_rng(0).permuted(labels, axis=1)  # a class is in all columns
    shares = [correct[0, 0, 0].T[dealt == label].mean() for label in range(3)]
    control = replace(result, control_labels=dealt, control=result.correct)
    assert control.curves()["control"].mean() == pytest.approx(np.mean(shares))


def test_a_guess_that_ignores_the_layers_is_at_chance_without_any_width():
    random = np.random.default_rng(0)
    labels = (random.random((50, 3)) < 0.2).astype(np.int64)
    strata = ["r" if i < 20 else "s" for i in range(50)]
    always = np.broadcast_to(labels.T == 1, (2, 2, 3, 3, 50))
    result = probe_result(always, labels, strata=strata)
    row = result.summary().set_index("quantity").loc["accuracy layer 0"]
    assert row["mean"] == pytest.approx(0.5)
    assert row.high - row.low < 1e-6
    assert result.chance == 0.5
    three = labels.copy()
    three[:20] = np.arange(20)[:, None] % 3
    assert probe_result(always, three, strata=strata).chance == pytest.approx(0.4 / 3 + 0.6 / 2)


def test_the_interval_equals_a_bootstrap_that_scores_every_resample():
    """Resample groups of facts, and take the balanced accuracy of each resample."""
    random = np.random.default_rng(1)
    n = 240
    labels = (random.random((n, 1)) < 0.25).astype(np.int64)
    right = random.random(n) < np.where(labels[:, 0] == 1, 0.45, 0.85)
    groups = [f"g{i // 2}" for i in range(n)]
    result = probe_result(np.broadcast_to(right, (2, 1, 1, 1, n)), labels, groups=groups)
    row = result.summary().set_index("quantity").loc["accuracy layer emb."]
    scores = []
    for _ in range(2000):
        rows = (2 * random.integers(n // 2, size=n // 2)[:, None] + [0, 1]).ravel()
        scores.append(
            balanced_accuracy(labels[rows, 0], np.where(right, labels[:, 0], 1 - labels[:, 0])[rows])
        )
    low, high = np.quantile(scores, [0.025, 0.975])
    assert (row.low, row.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_what_is_not_asked_is_not_a_number():
    labels = np.array([[0, -1], [1, -1], [0, -1], [1, -1], [-1, -1]])
    correct = np.full((2, 2, 2, 2, 5), -1)
    correct[:, :, 0, 0, :4] = 1
    result = probe_result(correct, labels)
    assert np.isnan(result.matrix()[:, [0, 1, 1], [1, 0, 1]]).all()
    assert (result.matrix()[:, 0, 0] == 1).all()
    assert np.isnan(result.curves()["transfer raw"]).all()
    assert np.isnan(result.curves()["accuracy"][:, 4]).all()
    table = result.summary().set_index("quantity")
    assert table.n["accuracy layer 0"] == 4
    assert table.n["transfer raw layer 0"] == 0
    assert result.chance == 0.5


def test_quantities_that_are_compared_and_all_of_them():
    result = random_probe_result()
    compared, every = result.quantities(), result.quantities(every=True)
    curves = ("accuracy", "control", "selectivity", "transfer raw", "transfer centered")
    layers = ("emb.", "0", "1")
    assert set(every) == {f"{c}, mean over layers" for c in curves} | {
        f"{c} layer {layer}" for c in curves for layer in layers
    }
    assert set(every) - set(compared) == {
        "control, mean over layers",
        *(f"{c} layer {layer}" for c in ("control", "selectivity") for layer in layers),
    }
    for curve in curves:
        rows = np.stack([every[f"{curve} layer {layer}"] for layer in layers])
        assert every[f"{curve}, mean over layers"] == pytest.approx(rows.mean(axis=0))
    table = result.by_layer()
    assert len(table) == 15
    row = table.set_index(["curve", "layer"]).loc[("transfer raw", "emb.")]
    assert row["mean"] == pytest.approx(every["transfer raw layer emb."].mean())
    assert row.low < row["mean"] < row.high


def test_the_table_has_a_row_per_pair():
    result = random_probe_result()
    table = result.to_frame()
    assert len(table) == 2 * 3 * 9
    row = table[
        (table.offset == "centered")
        & (table.layer == "1")
        & (table.trained_on == "sw")
        & (table.tested_on == "ja")
    ].iloc[0]
    assert row.balanced_accuracy == pytest.approx(result.matrix("centered")[2, 1, 2])
    assert (row.n, row.control, row.chance) == (40, 0, 0.5)


def test_repr_gives_the_best_layer_with_its_interval():
    text = repr(random_probe_result(left_out=("x, where nothing is",)))
    assert text.startswith("ProbeResult of made: right, 40 facts, 3 languages, 3 layers\n  best at layer ")
    assert "95 %, control 0.000, chance 0.500" in text
    assert text.endswith("  left out: x, where nothing is")
    assert [layer_name(layer) for layer in (-1, 0, 12)] == ["emb.", "0", "12"]


def test_a_planted_change_is_found_where_it_is():
    before = random_probe_result(n=200)
    better = before.correct.copy()
    better[:, 2, 1, 1] = 1
    table = compare(before, replace(before, correct=better)).table.set_index("quantity")
    gain = (1 - before.matrix()[2, 1, 1]) / 3
    assert table.change["accuracy layer 1"] == pytest.approx(gain)
    assert table.low["accuracy layer 1"] > 0
    assert table.change["accuracy, mean over layers"] == pytest.approx(gain / 3)
    unchanged = [name for name in table.index if "transfer" in name or name.endswith(("emb.", "layer 0"))]
    assert len(unchanged) == 2 * 4 + 2
    assert (table.loc[unchanged, ["change", "low", "high"]] == 0).all(axis=None)
    assert not any(name.startswith("control") for name in table.index)


def test_checkpoints_are_compared_in_the_languages_that_were_asked_in_both():
    """The second was not asked in the language that is hardest to read; it reads no better in the others."""
    before = random_probe_result()
    correct = before.correct.copy()
    correct[..., 0, :], correct[..., 1:, :] = 0, 1
    labels = before.labels.copy()
    labels[:, 0] = -1
    left = correct.copy()
    left[:, :, :, 0], left[:, :, 0] = -1, -1
    before, after = probe_result(correct, before.labels), probe_result(left, labels)
    assert np.nanmean(after.quantities()["accuracy layer 0"]) > np.nanmean(
        before.quantities()["accuracy layer 0"]
    )
    assert (compare(before, after).table.change.abs() < 1e-12).all()
    whole = compare(before, before).table
    assert (
        whole.before == before.summary().set_index("quantity").loc[whole.quantity, "mean"].to_numpy()
    ).all()


def test_results_of_other_questions_are_not_compared():
    one = random_probe_result()
    other = replace(one, provenance=Provenance(settings={"positions": "mean"}))
    with pytest.raises(ResultError, match="positions: None and mean"):
        compare(one, other)


def test_round_trip(tmp_path):
    result = random_probe_result(left_out=("this", "that"))
    again = load_result(result.save(tmp_path / "r.npz"))
    assert type(again) is ProbeResult
    for name in ProbeResult.__dataclass_fields__:
        assert np.array_equal(getattr(again, name), getattr(result, name))
    assert again.correct.dtype == np.int8
    assert (again.layers, again.trained_on, again.left_out) == (result.layers, LANGUAGES, ("this", "that"))
    pd.testing.assert_frame_equal(again.summary(), result.summary())


def test_the_golden_file_of_schema_1_loads():
    result, expected = golden("probe")
    assert type(result) is ProbeResult
    assert result.provenance.checkpoint == expected["checkpoint"]
    assert result.chance == pytest.approx(expected["chance"], rel=1e-12)
    means = {name: float(np.nanmean(values)) for name, values in result.quantities(every=True).items()}
    assert means == pytest.approx(expected["means"], rel=1e-6)
