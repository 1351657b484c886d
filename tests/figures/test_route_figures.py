"""Routes and ablations in pictures: the data on their axes."""

from __future__ import annotations

import numpy as np
import pytest

from figures import plot
from figures.ablation import ablation_data
from figures.routing import plot_pairs, routing_data
from figures.style import save_figure
from interp.stats import holm
from tests.support.results.ablation import ablation_result, noise
from tests.support.results.routing import routing_result, vectors

BEFORE, AFTER = routing_result(vectors(n_facts=20)), routing_result(vectors(n_facts=20, seed=1) + 1, name="b")


def drawn(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_ydata() for line in axes.get_lines()}


def test_overlap_and_chance_stand_at_their_layer_with_their_interval():
    left, right = plot([BEFORE, AFTER], names=("a", "b")).axes
    for name, result in (("a", BEFORE), ("b", AFTER)):
        table = result.by_layer()
        assert drawn(left)[f"{name}: overlap"] == pytest.approx(table.overlap)
        assert drawn(left)[f"{name}: chance"] == pytest.approx(table.chance)
        assert drawn(right)[name] == pytest.approx(table.excess)
    band = right.collections[1].get_paths()[0].vertices[:, 1]  # of b
    table = AFTER.by_layer()
    assert set(np.round(band, 6)) == {*np.round(table.excess_low, 6), *np.round(table.excess_high, 6)}
    assert [t.get_text() for t in left.get_xticklabels()] == ["0", "1"]
    assert left.get_title(loc="left") == "neurons: overlap and chance"


def test_the_data_of_routes_are_tidy(tmp_path):
    data = routing_data([BEFORE, AFTER], ("a", "b"))
    row = data[(data.checkpoint == "b") & (data.quantity == "chance") & (data.layer == 1)].iloc[0]
    table = AFTER.by_layer().iloc[1]
    assert (row["mean"], row.low, row.high) == (table.chance, table.chance_low, table.chance_high)
    assert len(save_figure(plot([BEFORE]), tmp_path / "r", data)) == 4


def test_pairs_are_a_symmetric_matrix_with_dots_where_the_interval_leaves_out_zero():
    axes = plot_pairs(AFTER, "b").axes[0]
    shown, table = np.array(axes.images[0].get_array().filled(np.nan)), AFTER.by_language()
    assert np.isnan(np.diag(shown)).all()
    clear = set()
    for (_, row), (one, other) in zip(table.iterrows(), ((0, 1), (0, 2), (1, 2)), strict=True):
        assert shown[one, other] == shown[other, one] == row["overlap above chance"]
        if row.low > 0 or row.high < 0:
            clear |= {(one, other), (other, one)}
    dots = {(int(y), int(x)) for x, y in axes.collections[0].get_offsets()}
    assert dots == clear
    assert [t.get_text() for t in axes.get_yticklabels()] == ["en", "sw", "ja"]


def test_the_ablation_matrix_has_its_owners_in_rows_and_its_marks():
    lost = noise(seed=1)
    lost[1, :, 2] += 0.3
    first, second = ablation_result(lost), ablation_result(noise(seed=2), name="b")
    figure = plot([first, second], names=("a", "b"))
    above, below = figure.axes[:2], figure.axes[2:4]
    p = np.concatenate([result.to_frame().p for result in (first, second)])
    corrected = iter(np.split(holm(p), 2))  # over all cells of the figure
    for axes, result in zip(above, (first, second), strict=True):
        assert axes.images[0].get_array().data == pytest.approx(result.matrix())
        table = result.to_frame().assign(holm=next(corrected))
        clear = table[(table.harm == "loss") & (table.holm < 0.05)]
        marks = {(int(y), int(x)) for x, y in axes.collections[0].get_offsets()}
        codes = list(result.languages)
        assert marks == {(codes.index(r.units_of), codes.index(r.language)) for r in clear.itertuples()}
    assert (1, 2) in {(int(y), int(x)) for x, y in above[0].collections[0].get_offsets()}
    assert above[0].images[0].get_clim() == above[1].images[0].get_clim()
    assert below[0].images[0].get_array().data == pytest.approx(first.matrix("accuracy"))
    assert (figure._supylabel.get_text(), figure._supxlabel.get_text()) == ("units of", "asked in")
    assert [t.get_text() for t in above[0].get_xticklabels()] == ["en", "sw", "ja"]


def test_the_data_of_an_ablation_name_their_checkpoint(tmp_path):
    results = [ablation_result(noise(seed=1)), ablation_result(noise(seed=2), name="b")]
    data = ablation_data(results, ("a", "b"))
    row = data[(data.checkpoint == "b") & (data.harm == "loss")].iloc[5]
    assert (row.units_of, row.language) == ("sw", "ja")
    assert row.beyond_random == pytest.approx(results[1].matrix()[1, 2])
    assert len(save_figure(plot(results), tmp_path / "a", data)) == 4


def test_nothing_lost_is_drawn_as_nothing():
    axes = plot([ablation_result(np.zeros((3, 10, 3)))], names=("a",)).axes[0]
    assert not axes.images[0].get_array().any()
    assert axes.images[0].norm(0.0) == 0.5  # white
    assert not len(axes.collections[0].get_offsets())
