"""What attribution figures and tables show: the numbers on the axes, and the warning."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

from figures import plot
from figures.attribution import attribution_data
from tests.support.printed import printed
from tests.support.results.attribution import CELLS, attribution_result, gaps, noise

RESULT = attribution_result(gaps(40), top=3, cells=CELLS)
NEURONS = replace(RESULT, unit="neurons")


def test_maps_are_the_mean_estimates_of_heads_on_one_scale():
    twice = attribution_result(2 * gaps(40), top=3, cells=CELLS)
    axes = plot([RESULT, twice], ["base", "grpo"]).axes
    maps = [a for a in axes if a.images]
    for axis, (result, span) in zip(maps, [(RESULT, 0), (RESULT, 1), (twice, 0), (twice, 1)], strict=True):
        assert axis.images[0].get_array().data == pytest.approx(result.estimates().plug_in[:, :, span])
        largest = np.abs(twice.estimates().plug_in).max()
        assert axis.images[0].get_clim() == pytest.approx((-largest, largest))
    assert [a.get_title(loc="left") for a in maps] == [
        "base: subject_last",
        "last",
        "grpo: subject_last",
        "last",
    ]


def test_the_scatter_is_estimate_against_effect_and_red_where_it_warns():
    wrong = attribution_result(gaps(40), -gaps(40)[:, :, *CELLS.T], top=3, cells=CELLS)
    for result, color in ((RESULT, "black"), (wrong, "firebrick")):
        axes = next(a for a in plot(result).axes if a.get_xlabel() == "estimate (logits)")
        table = result.verified()
        for points, chosen in zip(axes.containers, ("top", "random"), strict=True):
            part = table[table.chosen == chosen]
            assert points.lines[0].get_xdata() == pytest.approx(part.estimate)
            assert points.lines[0].get_ydata() == pytest.approx(part.effect)
            ends = points.lines[2][0].get_segments()
            assert [s[0][1] for s in ends] == pytest.approx(part.low)
            assert [s[1][1] for s in ends] == pytest.approx(part.high)
        assert axes.get_title(loc="left").startswith(f"r = {result.correlation().pearson[2]:.3f}")
        assert axes._left_title.get_color() == color
    assert any(a.get_title(loc="left") == "not verified" for a in plot(attribution_result(gaps())).axes)


def test_neurons_have_a_profile_over_layers_and_their_largest():
    profile, largest = plot(NEURONS).axes[:2]
    for span, line in zip((0, 1), profile.get_lines()[::2], strict=True):
        expected = np.abs(NEURONS.estimates().plug_in[:, :, span]).sum(axis=1)
        assert line.get_ydata() == pytest.approx(expected)
    floor = profile.get_lines()[1].get_ydata()
    assert floor == pytest.approx(profile.get_lines()[0].get_ydata() / 10, rel=1e-5)
    table = NEURONS.largest(12)
    assert [bar.get_width() for bar in largest.patches] == pytest.approx(table.estimate)
    assert largest.get_yticklabels()[0].get_text() == f"{table.layer[0]}.{table.unit[0]} {table.position[0]}"


def test_of_many_positions_those_with_the_largest_estimates_are_drawn():
    values = noise(20, 2, 2, 3, 30) * np.where(np.isin(np.arange(30), [3, 11, 12, 20, 25, 29]), 5, 0.1)
    many = replace(attribution_result(values), positions=tuple(map(str, range(30))))
    maps = [a for a in plot(many, ["a"]).axes if a.images]
    assert [a.get_title(loc="left") for a in maps] == ["a: 3", "11", "12", "20", "25", "29"]
    assert len(plot(replace(many, unit="neurons")).axes[0].get_lines()) == 12


def test_the_table_beside_the_figure_holds_what_is_drawn():
    table = attribution_data([RESULT, RESULT], ["base", "grpo"])
    one = table[table.checkpoint == "base"]
    assert one[one["shown"] == "map"].estimate.to_numpy() == pytest.approx(RESULT.to_frame().estimate)
    assert one[one["shown"] == "verified"].effect.to_numpy() == pytest.approx(RESULT.verified().effect)
    kinds = attribution_data([NEURONS], ["a"])["shown"].value_counts().to_dict()
    assert kinds == {"profile": 6, "largest": 12, "verified": 6}


def test_the_terminal_says_estimates_effects_and_correlation():
    StringIO()
    text = printed([RESULT, attribution_result(gaps())], ["base", "raw"])
    row, cell = RESULT.largest(1).iloc[0], RESULT.verified().iloc[0]
    assert f"{row.layer}.{row.unit}" in text
    assert f"{row.estimate:+.3f} [{row.low:+.3f}, {row.high:+.3f}]" in text
    assert f"{cell.effect:+.3f} [{cell.low:+.3f}, {cell.high:+.3f}]" in text
    assert re.search(r"both +│ 6 +│ +\d+ +│ +\+1\.000 +│", text)  # no interval: all facts order cells alike
    assert text.count("Not verified: nothing was patched.") == 1
