"""Probes and alignment in pictures and tables: the data on their axes and in their cells."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from figures import plot
from figures.alignment import alignment_data, plot_pairs
from figures.layers import layer_ticks, spaced
from figures.probing import plot_transfer, probe_data
from figures.style import save_figure
from figures.table import number
from probes.results import ProbeResult
from tests.support.printed import interval, printed
from tests.support.results.alignment import alignment_result, translations
from tests.support.results.probes import LANGUAGES, probe_result, random_probe_result

PROBES = [random_probe_result(seed) for seed in range(2)]
NAMES = ("a", "b")
ALIGNED = [
    alignment_result(np.concatenate([translations(noise=y) for y in (x, 1.0, 0.5)])) for x in (0.4, 0.8)
]


def joint_result() -> ProbeResult:
    correct = np.random.default_rng(0).integers(2, size=(1, 3, 1, 3, 20))
    return probe_result(correct, np.tile(np.arange(3), (20, 1)), joint=True)


def check_curves(axes, data, curves) -> None:
    """Lines and bands, checkpoint by checkpoint."""
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    drawn = zip(lines, axes.collections, strict=True)
    for name in NAMES:
        for curve in curves:
            line, band = next(drawn)
            rows = data[(data.checkpoint == name) & (data.curve == curve)]
            assert line.get_ydata() == pytest.approx(rows["mean"])
            assert (line.get_linestyle() == "-") == (curve == curves[0])
            edges = np.concatenate([path.vertices for path in band.get_paths()] or [np.zeros((0, 2))])
            for x, row in enumerate(rows.itertuples()):
                at = edges[edges[:, 0] == x, 1]
                assert len(at) or np.isnan(row.low)  # where nothing varies there is no interval
                if len(at):
                    assert (at.min(), at.max()) == pytest.approx((row.low, row.high))
    assert next(drawn, None) is None


def test_curves_of_probes_stand_with_their_intervals_control_and_chance(tmp_path):
    figure, data = plot(PROBES, NAMES), probe_data(PROBES, NAMES)
    left, right = figure.axes
    check_curves(left, data, ("accuracy", "control"))
    check_curves(right, data, ("transfer centered", "transfer raw"))
    for axes in (left, right):
        assert [t.get_text() for t in axes.get_xticklabels()] == ["emb.", "0", "1"]
        assert 0.5 in [line.get_ydata()[0] for line in axes.get_lines() if len(line.get_xdata()) == 2]
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == [*NAMES, "accuracy; transfer centered", "control; transfer raw", "chance 0.5"]
    assert left.get_ylim() == (0, 1.02)
    means = data.set_index(["checkpoint", "curve", "layer"])["mean"]
    assert means["b", "accuracy", "1"] == pytest.approx(PROBES[1].curves()["accuracy"][2].mean())
    assert len(save_figure(figure, tmp_path / "p", data)) == 4


def test_matrices_have_training_in_rows_and_test_in_columns():
    figure = plot_transfer(PROBES[0], "a")
    images = [axes for axes in figure.axes if axes.images]
    found = {axes.get_title(): axes.images[0] for axes in images}
    assert set(found) == {
        f"{o}, {w}" for o in ("raw", "centered") for w in ("embedding", "layer 0", "layer 1")
    }
    for offset in ("raw", "centered"):
        shown = found[f"{offset}, layer 1"]
        assert np.asarray(shown.get_array()) == pytest.approx(PROBES[0].matrix(offset)[2])
        assert shown.get_clim() == (0.5, 1)
    assert figure._supylabel.get_text() == "trained on"
    assert figure._supxlabel.get_text() == "tested on"
    assert [t.get_text() for t in images[0].get_xticklabels()] == list(LANGUAGES)


def test_one_probe_has_a_row_per_language(tmp_path):
    result = joint_result()
    figure = plot_transfer(result, "a")
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert shown == pytest.approx(result.correct[0, :, 0].mean(axis=-1).T)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(LANGUAGES)
    (axes,) = plot([result, result], NAMES).axes
    check_curves(axes, probe_data([result, result], NAMES), ("accuracy", "control"))


def test_what_is_not_asked_stays_white():
    labels = np.tile([[0, -1], [1, -1]], (10, 1))
    correct = np.full((2, 2, 2, 2, 20), -1)
    correct[:, :, 0, 0] = 1
    figure = plot_transfer(probe_result(correct, labels), "a")
    shown = np.ma.asarray(figure.axes[0].images[0].get_array())
    assert np.ma.getmaskarray(np.ma.masked_invalid(shown)).tolist() == [[False, True], [True, True]]
    text = printed([probe_result(correct, labels)], ("a",))
    assert re.search(r"│ sw +│ +- │", text)


def test_the_table_of_probes_has_the_numbers():
    text = printed(PROBES, NAMES)
    table = probe_data(PROBES, NAMES).set_index(["checkpoint", "curve", "layer"])
    for name in NAMES:
        assert f"{name}: whether the model will be right" in text
        for curve in ("accuracy", "control", "selectivity", "transfer raw", "transfer centered"):
            for layer in ("emb.", "0", "1"):
                row = table.loc[(name, curve, layer)]
                assert interval(row) in text
    assert (
        "40 facts in 40 clusters, 3 languages, chance 0.500; balanced accuracy on facts whose group was "
        "in no training fold" in text
    )
    result = PROBES[0]
    best = int(np.argmax([row.mean() for row in result.curves()["accuracy"]]))
    assert f"a: balanced accuracy by language at layer {('emb.', '0', '1')[best]}" in text
    raw = result.matrix("raw")[best]
    cells = [raw[1, 1], (raw[1, 0] + raw[1, 2]) / 2, (raw[0, 1] + raw[2, 1]) / 2]
    row = next(line for line in text.splitlines() if line.startswith("│ sw "))
    assert [float(cell) for cell in row.split("│")[2:5]] == pytest.approx(cells, abs=6e-4)


def test_what_was_left_out_is_said_once_with_its_checkpoints():
    results = [random_probe_result(s, left_out=("sw, where nothing is",)) for s in range(2)]
    text = printed(results, NAMES)
    assert "left out of a: sw, where nothing is; left out of b: sw, where nothing is" in text


def test_curves_of_alignment_stand_with_their_intervals():
    figure, data = plot(ALIGNED, NAMES), alignment_data(ALIGNED, NAMES)
    for row, kind in enumerate(("en-x", "x-y")):
        mutual, similar = figure.axes[2 * row : 2 * row + 2]
        check_curves(mutual, data, (f"mutual raw {kind}", f"mutual centered {kind}"))
        check_curves(similar, data, (f"CKA {kind}", f"CKA shuffled {kind}"))
    assert [axes.get_title(loc="left") for axes in figure.axes[::2]] == [
        "English with another language",
        "two other languages",
    ]
    table = data.set_index(["checkpoint", "curve", "layer"])
    for index, name in enumerate(NAMES):
        result = ALIGNED[index]
        for layer in (0, 1):
            row = table.loc[(name, "CKA x-y", str(layer))]
            assert row["mean"] == pytest.approx(result.cka[layer, 1, 2])
            assert row.low < row["mean"] < row.high
            assert table.loc[(name, "CKA shuffled en-x", str(layer)), "mean"] == pytest.approx(
                result.cka_shuffled[layer, 0, 1:].mean()
            )
            assert table.loc[(name, "mutual raw en-x", str(layer)), "mean"] == pytest.approx(
                result.mexa()[layer, 0, 1:].mean()
            )


def test_pairs_have_the_query_in_rows():
    result = ALIGNED[0]
    figure = plot_pairs(result, "a")
    found = {axes.get_title(): np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images}
    for place, treatment in enumerate(("raw", "centered")):
        share = result.retrieved[place, 1].mean(axis=0)
        shown = found[f"{treatment}, layer 1"]
        assert np.isnan(np.diagonal(shown)).all()
        off = ~np.eye(3, dtype=bool)
        assert shown[off] == pytest.approx(share[off])
    assert figure._supylabel.get_text() == "query"


def test_the_table_of_alignment_has_the_numbers():
    text = printed(ALIGNED, NAMES)
    data = alignment_data(ALIGNED, NAMES).set_index(["checkpoint", "curve", "layer"])
    for name, result in zip(NAMES, ALIGNED, strict=True):
        assert f"{name}: English with another language" in text
        for kind in ("en-x", "x-y"):
            for layer in ("0", "1"):
                for treatment in ("raw", "centered"):
                    row = data.loc[(name, f"mutual {treatment} {kind}", layer)]
                    assert interval(row) in text
                row, floor = (data.loc[(name, f"{c} {kind}", layer)] for c in ("CKA", "CKA shuffled"))
                assert f"{interval(row)} ({number(floor['mean'])})" in text
        mexa = result.mexa()[:, 0, 2]
        row = [line for line in text.splitlines() if line.startswith("│ ja ")][-1]
        assert f"{mexa.mean():.3f}" in row
        assert f"{mexa.max():.3f}" in row
    without = [alignment_result(translations()[:, :, :2], ("sw", "ja"))]
    text = printed(without, ("a",))
    assert "MEXA with English" not in text
    assert "English with another" not in text


def test_of_many_layers_some_are_chosen_with_one_stride():
    assert spaced(5, 9) == [0, 1, 2, 3, 4]
    assert spaced(33, 6) == [0, 6, 12, 18, 24, 30]
    assert spaced(1, 6) == [0]


@pytest.mark.parametrize("n", range(1, 101))
@pytest.mark.parametrize("first", [-1, 0])
def test_layers_are_labeled_with_one_stride_counted_from_zero(n, first):
    layers = range(first, first + n)
    shown = [layers[i] for i in layer_ticks(layers)]
    assert len(shown) <= 10
    assert shown[0] == first
    numbered = [layer for layer in shown if layer > 0]
    assert len({b - a for a, b in itertools.pairwise(numbered)}) <= 1
    assert not numbered or all(layer % numbered[0] == 0 for layer in numbered)
