"""Patching in pictures: the data on their axes."""

from __future__ import annotations

import numpy as np
import pytest

from figures import plot
from figures.patching import plot_languages, plot_patching
from tests.support.results.patching import patching_result

BEFORE, AFTER = patching_result(noise=0.5), patching_result(recovered=0.8, noise=0.5, seed=1)


def of_heads():
    """Three heads at two positions: head 1 of layer 1 recovers at the last."""
    shape = (40, 2, 3, 2, 3, 2)
    patched = np.full(shape, -2.0)
    patched[:, :, :, 1, 1, 1] = 1.0
    control = np.full(shape, -2.0)
    values = {"units": ("0", "1", "2"), "positions": ("subject_last", "last"), "site": "head"}
    plain = patching_result()
    for run in (patched, control):
        run[np.isnan(plain.clean[:, :, 0])] = np.nan
    return patching_result(patched=patched, control=control, **values)


def test_recovery_and_floor_stand_at_their_layer():
    (axes,) = plot([BEFORE, AFTER], names=("a", "b")).axes
    shown = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    for name, result in (("a", BEFORE), ("b", AFTER)):
        table = result.recovery()
        assert shown[name] == pytest.approx(table.recovery)
        assert shown[f"{name}, unrelated fact"] == pytest.approx(table.floor)
    band = axes.collections[1].get_paths()[0].vertices[:, 1]
    table = AFTER.recovery()
    assert set(np.round(band, 6)) == {*np.round(table.low, 6), *np.round(table.high, 6)}
    assert axes.get_title() == "last"


def test_another_metric_is_drawn_when_asked():
    (axes,) = plot_patching([AFTER], ["b"], "rescued").axes
    assert axes.get_lines()[0].get_ydata() == pytest.approx(AFTER.recovery("rescued").recovery)
    assert axes.get_ylabel() == "recovery (rescued)"


def test_heads_are_a_map_per_position_with_dots_beyond_the_floor():
    figure = plot([of_heads()], names=("a",))
    first, second = (axes for axes in figure.axes if axes.get_title())
    assert [first.get_title(), second.get_title()] == ["a subject_last", "a last"]
    shown = np.asarray(second.images[0].get_array())
    assert shown == pytest.approx(np.array([[0, 0, 0], [0, 0.5, 0]]))
    assert np.asarray(first.images[0].get_array()) == pytest.approx(np.zeros((2, 3)))
    assert second.collections[0].get_offsets().tolist() == [[1, 1]]  # head 1 of layer 1
    assert len(first.collections[0].get_offsets()) == 0
    assert (second.get_ylabel(), second.get_xlabel()) == ("layer", "head")


def test_many_positions_are_one_map():
    shape = (40, 2, 3, 2, 1, 6)
    patched = np.full(shape, -2.0)
    patched[:, :, :, 0, 0, 4] = 4.0
    control = np.full(shape, -2.0)
    for run in (patched, control):
        run[-1, 1] = np.nan
    result = patching_result(patched=patched, control=control, positions=tuple("012345"))
    axes = plot([result], names=("a",)).axes[0]
    expected = np.zeros((2, 6))
    expected[0, 4] = 1
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(expected)
    assert [label.get_text() for label in axes.get_xticklabels()] == list("012345")


def test_languages_are_rows():
    values = AFTER.patched.copy()
    values[:, 1] = -2  # nothing is recovered in 'sw'
    values[-1, 1] = np.nan
    figure = plot_languages(patching_result(patched=values), "b")
    axes = figure.axes[0]
    shown = np.asarray(axes.images[0].get_array())
    assert shown[1] == pytest.approx(0)
    assert shown[0, 1] == pytest.approx(patching_result(patched=values).recovery(language="ja").recovery[1])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ja", "sw"]
