"""Attribution: a map of heads, or a profile of neurons and the largest; estimates against true effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.layers import spaced
from figures.style import Look, look, new_figure, width_for
from figures.table import Table, estimate, number
from interp.results.attribution import AttributionResult
from interp.stats import interval_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["attribution_data", "attribution_drawings", "attribution_tables", "plot_attribution"]

_TOP = 12
_MOST_SPANS = 6  # maps in a row: of many positions, those with the largest estimates
_LABELS = 9  # layers or units that an axis names


_LEGEND = (
    "In logits of the right minus the wrong answer, with 95 % intervals. estimate: (source - target "
    "activation) x "
    "gradient, over blocks of facts; unrelated fact: its estimate; effect: of patching the unit alone, over "
    "clusters of facts; slope: effect per estimated logit."
)


def attribution_drawings(results: Sequence[AttributionResult], names: Sequence[str]) -> list[Drawing]:
    """Estimates, and effects against estimates."""
    return [Drawing("", partial(plot_attribution, results, names), attribution_data(results, names))]


def attribution_tables(results: Sequence[AttributionResult], names: Sequence[str]) -> list[Table]:
    """Per checkpoint the units with the largest estimates, and how well these predict patching."""
    shown: list[Table] = []
    for name, result in zip(names, results, strict=True):
        shown.append(_largest_units(name, result))
        if len(result.cells):
            shown.append(_correlations(name, result))
    return [replace(shown[0], note=f"{_LEGEND} {shown[0].note}"), *shown[1:]]


def _largest_units(name: str, result: AttributionResult) -> Table:
    rows = tuple(
        (
            f"{row.layer}.{row.unit}",
            row.position,
            estimate(row.estimate, row.low, row.high, signed=True),
            number(row.floor, signed=True),
            estimate(row.effect, row.effect_low, row.effect_high, signed=True),
        )
        for row in result.strongest().itertuples()
    )
    header = ("layer." + result.unit.removesuffix("s"), "position", "estimate", "unrelated fact", "effect")
    verified = "" if len(result.cells) else " Not verified: nothing was patched."
    note = f"{name}: {result.counted()}.{verified}"
    return Table(f"{name}: {result.unit}, {result.mode}", header, rows, note, keys=2)


def _correlations(name: str, result: AttributionResult) -> Table:
    rows = tuple(
        (
            row.cells,
            f"{row.n:,}",
            f"{row.n_clusters:,}",
            estimate(row.pearson, row.pearson_low, row.pearson_high, signed=True),
            estimate(row.spearman, row.spearman_low, row.spearman_high, signed=True),
            number(row.slope, 2),
        )
        for row in result.correlation().itertuples()
    )
    header = ("cells", "n", "clusters", "Pearson", "Spearman", "slope")
    return Table(f"{name}: estimates and effects of the cells that were patched", header, rows)


def plot_attribution(results: Sequence[AttributionResult], names: Sequence[str]) -> Figure:
    """One row per checkpoint: its estimates, and the true effect of what was patched against its estimate.

    Heads: a map of layer and head for each span (of many, the six with the largest estimates), one color
    scale for all. Neurons: per span the sum of absolute mean estimates of each layer, with that of an
    unrelated fact dotted, and the neurons with the largest estimates.
    """
    heads = results[0].unit == "heads"
    spans = _shown(results)
    left = len(spans) if heads else 2
    natural = 2.6 * left + 3.4
    columns = max(1, min(left + 1, int(width_for(natural) / 2.2)))
    lines = -(-(left + 1) // columns)
    with new_figure(natural, 0.7 + 2.7 * lines * len(results)) as figure:
        axes_of = figure.subplots(lines * len(results), columns, squeeze=False).reshape(len(results), -1)
        for axes in axes_of[:, left + 1 :].flat:
            axes.remove()
        grid = axes_of[:, : left + 1]
        largest = max(float(result.peaks().max()) for result in results)
        for row, (result, name) in enumerate(zip(results, names, strict=True)):
            if heads:
                _maps(figure, grid[row, :left], result, spans, largest)
            else:
                _profile(grid[row, 0], result, spans)
                _top(grid[row, 1], result)
            _scatter(grid[row, left], result)
            grid[row, 0].set_title(f"{name}: {grid[row, 0].get_title(loc='left')}", loc="left", fontsize=8)
        return figure


def attribution_data(results: Sequence[AttributionResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_attribution`, tidy: checkpoint, shown, layer, unit, position, n, estimate, ..."""
    import pandas as pd

    tables = []
    for result, name in zip(results, names, strict=True):
        if result.unit == "heads":
            parts = {"map": result.to_frame()}
        else:
            parts = {"profile": result.by_layer(), "largest": result.largest(_TOP)}
        parts["verified"] = result.verified().rename(columns={"low": "effect_low", "high": "effect_high"})
        tables += [table.assign(shown=shown, checkpoint=name) for shown, table in parts.items() if len(table)]
    combined = pd.concat(tables, ignore_index=True)
    first = ["checkpoint", "shown", "layer", "unit", "position", "n", "n_clusters"]
    return combined[[*first, *(column for column in combined if column not in first)]]


def _maps(
    figure: Figure, row: np.ndarray, result: AttributionResult, spans: Sequence[int], largest: float
) -> None:
    values = result.estimates().plug_in
    for span, axes in zip(spans, row, strict=True):
        image = axes.imshow(
            values[:, :, span], aspect="auto", origin="lower", cmap="RdBu_r", vmin=-largest, vmax=largest
        )
        axes.set_title(result.positions[span], loc="left", fontsize=8)
        axes.set(xlabel="head", ylabel="layer" if axes is row[0] else "")
        axes.set_xticks(spaced(values.shape[1], _LABELS))
        axes.set_yticks(spaced(values.shape[0], _LABELS))
        axes.grid(visible=False)
    figure.colorbar(image, ax=row[-1], label="estimate (logits)")


def _profile(axes: Axes, result: AttributionResult, spans: Sequence[int]) -> None:
    table = result.by_layer()
    for index, span in enumerate(result.positions[i] for i in spans):
        style, part = look(index), table[table.position == span]
        axes.plot(part.layer, part.estimate, label=span, **_line(style, full=True))
        axes.plot(part.layer, part.floor, label=f"{span}, unrelated fact", **_line(style, full=False))
    axes.set_title("by layer", loc="left", fontsize=8)
    axes.set(xlabel="layer", ylabel="sum of |estimate| (logits)", ylim=(0, None))
    axes.set_xticks(spaced(result.sums.shape[3], _LABELS))
    axes.legend(fontsize=6)


def _line(style: Look, *, full: bool) -> dict[str, Any]:
    return {
        "color": style.color,
        "linestyle": "-" if full else ":",
        "marker": style.marker,
        "markersize": 4,
        "markerfacecolor": style.color if full else "white",
        "linewidth": 1.2,
    }


def _top(axes: Axes, result: AttributionResult) -> None:
    table = result.largest(_TOP)
    where = np.arange(len(table))
    around = np.stack([table.estimate - table.low, table.high - table.estimate])
    axes.barh(where, table.estimate, color=look(0).color, xerr=around, error_kw={"linewidth": 0.8})
    axes.plot(table.floor, where, linestyle="none", marker="|", color="black", label="unrelated fact")
    labels = [f"{row.layer}.{row.unit} {row.position}" for row in table.itertuples()]
    axes.set_yticks(where, labels, fontsize=6)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_title("largest", loc="left", fontsize=8)
    axes.set_xlabel("estimate (logits), 95 %")
    axes.legend(fontsize=6)


def _scatter(axes: Axes, result: AttributionResult) -> None:
    """True effect against estimate, with the line on which they are equal."""
    axes.set(xlabel="estimate (logits)", ylabel="effect (logits), 95 %")
    table = result.verified()
    if not len(table):
        axes.set_title("not verified", loc="left", fontsize=8)
        return
    for index, name in enumerate(("top", "random")):
        style, part = look(index), table[table.chosen == name]
        if len(part):
            around = np.stack([part.effect - part.low, part.high - part.effect])
            axes.errorbar(
                part.estimate, part.effect, yerr=around, fmt=style.marker, color=style.color, label=name,
                markersize=4, linewidth=0.8,
            )  # fmt: skip
    axes.axline((0, 0), slope=1, color="0.4", linewidth=0.8, linestyle="--", label="equal")
    both = result.correlation().iloc[-1]
    within = interval_text(both.pearson_low, both.pearson_high, ".3f")
    title = f"r = {both.pearson:.3f} {within}, slope {both.slope:.2f}"
    axes.set_title(title, loc="left", fontsize=8, color="firebrick" if result.low_correlation() else "black")
    axes.legend(fontsize=6)


def _shown(results: Sequence[AttributionResult]) -> list[int]:
    """The spans that all results share a figure with: of many, those with the largest estimates."""
    shared = range(min(len(result.positions) for result in results))
    peaks = [result.peaks() for result in results]
    return sorted(sorted(shared, key=lambda span: -max(each[span] for each in peaks))[:_MOST_SPANS])
