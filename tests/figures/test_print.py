"""Figures hold in print: checkpoints look different, texts stand where there is room, files are the same."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from figures import plot
from figures.style import MOST_CHECKPOINTS, look, new_figure, save_figure, sized
from interp.errors import ConfigError
from tests.support.boxes import misplaced
from tests.support.gallery import gallery
from tests.support.results import neurons

A = neurons(np.random.default_rng(0).random((3, 4, 30)), name="base")


def test_no_two_checkpoints_share_a_color_marker_line_or_hatch():
    looks = [look(i) for i in range(MOST_CHECKPOINTS)]
    for signs in zip(*looks, strict=True):
        assert len(set(signs)) == MOST_CHECKPOINTS
    colors = [np.array(to_rgb(each.color)) for each in looks]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colors, 2)) > 0.15


def test_more_checkpoints_than_can_be_told_apart_are_refused():
    plot([A] * MOST_CHECKPOINTS)
    with pytest.raises(ConfigError, match="at most 24 checkpoints") as refused:
        plot([A] * (MOST_CHECKPOINTS + 1))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("width", [None, 3.25, 6.75])
def test_no_text_is_cut_off_or_lies_on_another(width):
    wrong = {}
    for name, drawing in gallery(2, 22, 12):
        with sized(width):
            figure = drawing.draw()
        assert width is None or figure.get_figwidth() == width
        if found := misplaced(figure):
            wrong[name] = found[:5]
    assert wrong == {}


def test_the_check_of_texts_finds_what_is_wrong():
    with new_figure(2, 2) as figure:
        axes = figure.subplots()
        axes.set_xticks([0, 0.01, 1], ["first", "second", "third"])
        figure.text(0.9, 0.5, "beyond the edge")
        figure.text(0.5, 0.5, "tiny", fontsize=4)
    found = misplaced(figure)
    assert "'first' on 'second'" in found
    assert "'beyond the edge' is outside" in found
    assert "'tiny' is 4.0 pt" in found


@pytest.mark.parametrize("width", [0, -3, 1.5, 1000, float("nan")])
def test_a_width_at_which_nothing_is_legible_is_refused(width):
    with pytest.raises(ConfigError, match=r"to 40\.0 are expected"):
        plot(A, width=width)
    assert plot(A).get_figwidth() == 9.5  # and leaves no trace


def test_the_same_figure_is_the_same_files(tmp_path):
    data = pd.DataFrame()
    files = [save_figure(plot(A), tmp_path / stem, data) for stem in ("x", "y")]
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "<dc:date>" not in files[0][2].read_text()


def test_a_figure_shows_itself_in_a_notebook():
    figure = plot(A)
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
