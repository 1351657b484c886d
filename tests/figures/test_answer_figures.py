"""Accuracy and changes in pictures: the data on their axes."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.changes import compare_facts
from figures import plot
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


def test_changes_stand_at_their_quantity(tmp_path):
    changes = compare_facts(BEFORE, AFTER)
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
    assert len(save_figure(figure, tmp_path / "c", table)) == 3
