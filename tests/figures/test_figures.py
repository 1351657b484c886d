"""Figures by the data on their axes, and the rules of the house: fonts, glyphs, gray printers,
spreadsheets."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from analyses.comparison import compare
from figures import plot
from figures.specialization import specialization_data
from figures.style import look, new_figure, save_figure
from interp.errors import ResultError
from tests.support.results import heads, neurons

A = neurons(np.random.default_rng(0).random((3, 4, 30)), name="base")
B = neurons(np.random.default_rng(1).random((3, 4, 30)), name="grpo")


def test_curves_are_the_layer_means_with_their_intervals():
    figure = plot([A, B])
    left = figure.axes[0]
    for line, result in zip(left.get_lines(), (A, B), strict=False):
        assert line.get_ydata() == pytest.approx(result.per_layer.value)
    band = left.collections[0].get_paths()[0].vertices
    low, high = A.per_layer.interval()
    assert band[:, 1].min() == pytest.approx(low.min())
    assert band[:, 1].max() == pytest.approx(high.max())
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["base", "grpo"]


def test_bars_are_the_counts_per_language():
    right = plot([A, B]).axes[1]
    widths = [bar.get_width() for bar in right.patches]
    assert widths == [*A.specialized().sum(axis=(1, 2)), *B.specialized().sum(axis=(1, 2))]
    assert [t.get_text() for t in right.get_yticklabels()] == [
        "English (en)",
        "Swahili (sw)",
        "Japanese (ja)",
    ]


def test_heads_show_overlap_between_languages():
    importance = np.zeros((3, 2, 25))
    importance[:, 0, 0] = 1
    importance[2, 0, 0], importance[2, 1, 1] = 0, 1
    right = plot(heads(importance)).axes[1]
    assert [bar.get_width() for bar in right.patches] == pytest.approx([0.5, 0.5, 0])


def test_comparison_shows_change_interval_and_floor():
    comparison = compare(A, B)
    axes = plot(comparison).axes[0]
    frame = comparison.to_frame()
    points = axes.containers[0].lines[0]
    assert points.get_ydata() == pytest.approx(frame["change"])
    segments = axes.containers[0].lines[2][0].get_segments()
    assert [s[0][1] for s in segments] == pytest.approx(frame["low"])
    assert [s[1][1] for s in segments] == pytest.approx(frame["high"])
    noise = next(p for p in axes.patches if hasattr(p, "get_data")).get_data()
    assert noise.values == pytest.approx(frame["noise"])
    assert noise.baseline == pytest.approx(-frame["noise"])


def test_csv_beside_the_figure_holds_what_is_drawn(tmp_path):
    files = save_figure(plot([A, B]), tmp_path / "neurons", specialization_data([A, B], ["base", "grpo"]))
    assert [f.name for f in files] == ["neurons.png", "neurons.pdf", "neurons.svg", "neurons.csv"]
    table = pd.read_csv(files[3])
    curve = table[(table.checkpoint == "grpo") & table["where"].str.startswith("layer")]
    assert curve.value.to_numpy() == pytest.approx(B.per_layer.value)


def test_fonts_are_embedded_as_truetype(tmp_path):
    _, pdf, _, _ = save_figure(plot(A), tmp_path / "x", specialization_data([A], ["base"]))
    content = pdf.read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_a_missing_glyph_is_an_error(tmp_path):
    with pytest.raises(ResultError, match="letter that its font lacks"):
        save_figure(plot([A], ["日本語"]), tmp_path / "x", specialization_data([A], ["x"]))
    assert not list(tmp_path.iterdir())


def test_checkpoints_differ_by_more_than_color():
    looks = [look(i) for i in range(12)]
    assert len({(x.marker, x.line) for x in looks}) == 12
    assert len({x.hatch for x in looks[:7]}) == 7


def test_cells_cannot_become_formulas(tmp_path):
    with new_figure(1.0, 1.0) as figure:
        pass
    data = pd.DataFrame({"name": ["=HYPERLINK(1)", "@x", "plain"], "value": [-1.5, 2, 3]})
    table = pd.read_csv(save_figure(figure, tmp_path / "x", data)[3])
    assert table.name.tolist() == ["'=HYPERLINK(1)", "'@x", "plain"]
    assert table.value.tolist() == [-1.5, 2, 3]


def test_drawing_leaves_global_settings_alone():
    before = dict(mpl.rcParams)
    plot(A)
    assert dict(mpl.rcParams) == before


def test_what_has_no_figure_is_refused():
    with pytest.raises(TypeError, match="no figure for dict"):
        plot({"a": 1})
