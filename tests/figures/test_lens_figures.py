"""The lens in pictures and tables: the data on their axes, and what is drawn where there is nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from analyses.comparison import compare
from figures import plot
from figures.lens import lens_data, plot_lens
from figures.style import save_figure
from tests.support.printed import interval, printed
from tests.support.results.lens import random_lens_result

BEFORE, AFTER = random_lens_result(20, seed=1), random_lens_result(20, seed=2, name="b")
PANELS = ("sw", "ja")  # the pivot has none


def _panels(figure):
    """Per language its curves and its strip."""
    axes = figure.axes
    return {code: (axes[2 * i], axes[2 * i + 1]) for i, code in enumerate(PANELS)}


@pytest.mark.parametrize("quantity", ["probability", "mass"])
def test_curves_stand_with_their_intervals(quantity, tmp_path):
    results, names = [BEFORE, AFTER], ("a", "b")
    figure = plot_lens(results, names, quantity)
    data = lens_data(results, names, quantity)
    for code, (curves, _) in _panels(figure).items():
        drawn = [(n, answer) for n in names for answer in (code, "en")]
        assert len(curves.get_lines()) == len(drawn)
        for line, band, (name, answer) in zip(curves.get_lines(), curves.collections, drawn, strict=True):
            rows = data[
                (data.quantity == quantity)
                & (data.checkpoint == name)
                & (data.prompt == code)
                & (data.answer == answer)
            ]
            assert line.get_xdata().tolist() == [-1, 0, 1, 2]
            assert line.get_ydata() == pytest.approx(rows.value)
            heights = {round(float(y), 6) for y in band.get_paths()[0].vertices[:, 1]}
            assert heights >= {round(y, 6) for y in (*rows.low, *rows.high)}
            assert line.get_linestyle() == ("-" if answer == code else ":")  # told apart without color
    assert len(save_figure(figure, tmp_path / "c", data)) == 4
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["a", "b", "prompt's language", "en, the pivot"]


def test_strips_hold_the_entropy_of_every_checkpoint():
    figure = plot([BEFORE, AFTER], names=("a", "b"))
    for i, (code, (_, strip)) in enumerate(_panels(figure).items(), start=1):
        image = strip.get_images()[0]
        expected = [result.entropy[:, i].mean(axis=0) for result in (BEFORE, AFTER)]
        np.testing.assert_allclose(image.get_array(), expected, rtol=1e-6)
        assert image.get_clim()[0] == 0
        title = strip.get_title(loc="left")
        assert title == f"{ {'sw': 'Swahili', 'ja': 'Japanese'}[code] } ({code}), n 20"


def test_the_title_counts_what_the_curves_are_over():
    overlap = BEFORE.overlap.copy()
    overlap[:3, [0, 1], [1, 0]] = True
    result = replace(BEFORE, overlap=overlap)
    for quantity, n in (("probability", 17), ("mass", 20)):
        strip = _panels(plot_lens([result], ("a",), quantity))["sw"][1]
        assert strip.get_title(loc="left") == f"Swahili (sw), n {n}"


def test_the_numbers_beside_the_picture_are_those_of_the_result():
    data = lens_data([BEFORE], ("a",))
    entropy = data[data.quantity == "entropy (nats)"]
    assert entropy.value.tolist() == pytest.approx(BEFORE.to_frame().entropy)
    curves = data[data.quantity == "probability"]
    assert curves["rank"].tolist() == pytest.approx(BEFORE.curves()["rank"])


def test_a_lexicon_without_tokens_leaves_its_curve_out():
    mass = BEFORE.mass.copy()
    mass[..., 1] = np.nan
    figure = plot_lens([replace(BEFORE, mass=mass, mass_tokens=(5, 0, 5))], ("a",), "mass")
    own, pivot = _panels(figure)["sw"][0].get_lines()
    assert len(own.get_xdata()) == 0
    assert len(pivot.get_xdata()) == 4
    empty = replace(BEFORE, mass=np.full_like(mass, np.nan), mass_tokens=(0, 0, 0))
    assert all(
        len(line.get_xdata()) == 0 for line in _panels(plot_lens([empty], ("a",), "mass"))["ja"][0].lines
    )


def test_changes_stand_in_a_panel_per_quantity(tmp_path):
    changes = compare(BEFORE, AFTER)
    table = changes.table.set_index("quantity")
    figure = plot(changes)
    rows = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert rows == ["all", "sw", "ja"]
    names = [axes.get_title() for axes in figure.axes]
    assert names == ["takeover layer", "pivot area", "pivot lead", "answer at output", "pivot mass"]
    for axes, name in zip(figure.axes, names, strict=True):
        filled, open_, unknown = axes.get_lines()[1:]
        assert not len(unknown.get_xdata())
        shown = {rows[int(y)]: x for line in (filled, open_) for x, y in zip(*line.get_data(), strict=True)}
        clear = {rows[int(y)] for y in filled.get_ydata()}
        spans = {rows[int(s[0][1])]: (s[0][0], s[1][0]) for s in axes.collections[0].get_segments()}
        for row in rows:
            known = table.loc[name if row == "all" else f"{name} {row}"]
            assert shown[row] == pytest.approx(known.change)
            assert spans[row] == pytest.approx((known.low, known.high))
            assert (row in clear) == (known.holm < 0.05)
    assert len(save_figure(figure, tmp_path / "c", changes.to_frame())) == 4


def _printed(*results):
    return printed(results, ("a", "b")[: len(results)])


def test_the_table_says_what_counts_and_how_sure_it_is():
    overlap = BEFORE.overlap.copy()
    overlap[:3, [0, 1], [1, 0]] = True
    result = replace(BEFORE, overlap=overlap)
    text = _printed(result)
    assert "a: logit lens, pivot en" in text
    cells = [cell.strip() for cell in next(line for line in text.splitlines() if "│ sw " in line).split("│")]
    found = result.summary().set_index("quantity")
    assert cells[1:5] == ["sw", "17", str(found.n_clusters["takeover layer sw"]), "3"]
    for cell, name in zip(cells[5:10], ("takeover layer", "pivot area", "pivot lead"), strict=False):
        row = found.loc[f"{name} sw"]
        assert cell == interval(row)
    assert re.search(r"│ all +│ 20 │", text)
    assert "a: logit lens, pivot en, 3 layers" in text
    assert "KL" not in text


def test_the_table_of_a_tuned_lens_and_of_a_lexicon_without_tokens():
    run = {"held_out_kl": {"plain": [1.5, 0.25, 0, 0], "tuned": [0.5, 0.125, 0, 0]}}
    mass = np.full_like(BEFORE.mass, np.nan)
    tuned = replace(BEFORE, mass=mass, provenance=replace(BEFORE.provenance, run=run))
    text = _printed(tuned, BEFORE)
    assert "KL(output || lens) on held-out text by layer (nats)" in text
    assert "│ plain │ 1.500 │ 0.250 │ 0.000 │ 0.000 │" in text
    assert "│ tuned │ 0.500 │ 0.125 │ 0.000 │ 0.000 │" in text
    row = next(line for line in text.splitlines() if "│ sw " in line)
    assert row.split("│")[-2].strip() == "-"
