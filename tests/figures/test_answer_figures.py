"""Accuracy and changes in pictures: the data on their axes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyses.comparison import compare
from figures import drawings, plot, tables
from figures.style import save_figure
from tests.support.results.behavior import LANGUAGES, behavior_result

RANDOM = np.random.default_rng(0)
BEFORE, AFTER = (behavior_result(right) for right in RANDOM.random((2, 60, 3)) < 0.6)


def test_accuracy_stands_with_its_interval_and_chance():
    left, right = plot([BEFORE, AFTER], names=("a", "b")).axes
    for container, result in zip(left.containers, (BEFORE, AFTER), strict=True):
        table = result.by_language()
        assert container.lines[0].get_ydata() == pytest.approx(table.accuracy)
        segments = container.lines[2][0].get_segments()
        assert [s[0][1] for s in segments] == pytest.approx(table.low)
        assert [s[1][1] for s in segments] == pytest.approx(table.high)
    assert [t.get_text() for t in left.get_xticklabels()] == list(LANGUAGES)
    assert left.get_lines()[-1].get_ydata()[0] == 0.25
    for line, result in zip(right.get_lines(), (BEFORE, AFTER), strict=True):
        assert line.get_ydata() == pytest.approx(result.histogram() / 60)


def test_the_data_are_the_numbers_on_both_axes():
    (drawing,) = drawings([BEFORE, AFTER], names=("a", "b"), scoring="sum")
    left, right = drawing.draw().axes
    data = drawing.data.set_index(["checkpoint", "quantity"])
    for place, name in enumerate("ab"):
        accuracy, chance, shares = (
            data.loc[(name, each)] for each in ("accuracy", "chance", "share of facts")
        )
        assert accuracy.place.tolist() == list(LANGUAGES)
        assert left.containers[place].lines[0].get_ydata() == pytest.approx(accuracy.value)
        spans = left.containers[place].lines[2][0].get_segments()
        assert [(s[0][1], s[1][1]) for s in spans] == [
            pytest.approx(row) for row in zip(accuracy.low, accuracy.high, strict=True)
        ]
        assert set(chance.value) == {left.get_lines()[-1].get_ydata()[0]}
        assert right.get_lines()[place].get_xydata() == pytest.approx(
            shares[["place", "value"]].to_numpy(float)
        )
    assert set(drawing.data.scoring) == {"sum"}


def test_the_table_has_all_rows_beside_the_rules_and_says_what_they_mean():
    rules = {"prior": dict.fromkeys(LANGUAGES, 0.125), "longest": dict.fromkeys(LANGUAGES, 0.5)}
    mask = np.arange(60) < 10
    strata = {"contaminated": mask, "not contaminated": ~mask}
    (table,) = tables([BEFORE, AFTER], ("a", "b"), scoring="token", baselines=rules, strata=strata)
    rows = {row[0]: row[1:] for row in table.rows if row}
    assert table.title == "Right answers: multiple choice, log-probability per token"
    assert table.header == ("", "prior", "longest", "a", "b")
    frame = AFTER.by_language("token").iloc[1]
    assert rows["sw"] == (
        "0.125",
        "0.500",
        rows["sw"][2],
        f"{frame.accuracy:.3f} [{frame.low:.3f}, {frame.high:.3f}]",
    )
    consistency = BEFORE.consistency("token")
    expected = {
        "all languages (3)": BEFORE.credit("token").mean(),
        "high-resource (2)": BEFORE.credit("token")[:, [0, 2]].mean(),
        "low-resource (1)": BEFORE.credit("token")[:, 1].mean(),
        "mean over relations": BEFORE.by_language("token").relation_macro.mean(),
        "contaminated (10 facts in 5 clusters)": BEFORE.credit("token")[:10].mean(),
        "not contaminated (50 facts in 25 clusters)": BEFORE.credit("token")[10:].mean(),
        "right in all languages": consistency["total_consistency"],
        "one wrong answer in all": consistency["agree_wrong"],
        "pairs that agree": consistency["agreement"],
        "RankC": consistency["rankc"],
        "RankC floor": consistency["rankc_floor"],
        "RankC chance": consistency["rankc_chance"],
        "RankC rescaled": consistency["rankc_rescaled"],
        "RankC both wrong": consistency["rankc_both_wrong"],
    }
    assert {name: rows[name] for name in expected} == {
        name: ("", "", f"{value:.3f}", rows[name][3]) for name, value in expected.items()
    }
    assert [rows[f"facts right in {k}"][2] for k in (1, 2, 3)] == [str(n) for n in BEFORE.histogram()[1:]]
    assert "spelled as in en (30 items in 30 clusters)" in rows
    assert "PolyFact's (3)" not in rows  # as many as there are languages
    for sentence in (
        "60 facts in 30 clusters. Accuracy with its 95 % interval (Wilson, over clusters).",
        "Chance 0.250; tied options share credit (in at most 0.000 of a language's facts).",
        "prior: the relation's most frequent answer; longest: the longest option.",
        "RankC: how alike two languages rank the options",
    ):
        assert sentence in table.note


def test_the_table_of_options_that_are_not_aligned_says_what_is_missing():
    (table,) = tables([replace(BEFORE, aligned=False)], ("a",))
    assert "agreement and RankC are not available" in table.note
    assert not [row for row in table.rows if row and row[0].startswith("RankC")]


def test_changes_stand_at_their_quantity(tmp_path):
    changes = compare(BEFORE, AFTER)
    table = changes.to_frame()
    figure = plot(changes)
    axes = figure.axes[0]
    rows = {t.get_text(): y for t, y in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)}
    assert list(rows) == table.quantity.tolist()
    shown = {y: x for line in axes.get_lines()[1:] for x, y in zip(*line.get_data(), strict=True)}
    assert [shown[rows[name]] for name in table.quantity] == pytest.approx(table.change)
    spans = axes.collections[0].get_segments()
    assert [s[0][0] for s in spans] == pytest.approx(table.low)
    assert [s[1][0] for s in spans] == pytest.approx(table.high)
    clear = {
        y for line in axes.get_lines()[1:] if line.get_label() == "Holm p < .05" for y in line.get_ydata()
    }
    assert clear == {rows[name] for name, p in zip(table.quantity, table.holm, strict=True) if p < 0.05}
    assert len(save_figure(figure, tmp_path / "c", table)) == 4
