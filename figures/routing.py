"""Routes: overlap beside chance and above it, layer by layer, and a matrix of languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.findings import found
from figures.layers import show_curve, show_layers, show_legend
from figures.matrices import show_languages
from figures.style import new_figure, width_for
from figures.table import Table, estimate, number
from interp.results.routing import RoutingResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawings", "plot_pairs", "plot_routing", "routing_data", "tables"]

_EXCESS = "overlap above chance"
_LEGEND = (
    "overlap: cosine of a fact's attributions in two languages, mean over all pairs of languages; "
    "chance: with "
    "another fact of its relation; specific: cosine of what differs between the two facts. 95 % "
    "intervals over "
    "clusters of facts."
)


def drawings(results: Sequence[RoutingResult], names: Sequence[str]) -> list[Drawing]:
    """Overlap by layer, and a matrix of languages per checkpoint."""
    by_layer = Drawing("", partial(plot_routing, results, names), routing_data(results, names))
    return [
        by_layer,
        *(
            Drawing(f"{name}.languages", partial(plot_pairs, result, name), result.by_language())
            for result, name in zip(results, names, strict=True)
        ),
    ]


def tables(results: Sequence[RoutingResult], names: Sequence[str]) -> list[Table]:
    """Per checkpoint: all quantities, overlap by layer, and what each language shares with the others."""
    first = results[0]
    alone = first.provenance.run.get("without_partner", 0)
    counted = f"{len(first.fact_ids)} facts in {len(set(first.groups))} clusters"
    counted += f", {alone} without a partner left out" if alone else ""
    shown = [
        table
        for name, result in zip(names, results, strict=True)
        for table in (_quantities(name, result), _layers(name, result), _languages(name, result))
    ]
    return [replace(shown[0], note=f"{counted}, {len(first.languages)} languages. {_LEGEND}"), *shown[1:]]


def _quantities(name: str, result: RoutingResult) -> Table:
    rows = tuple(
        (
            row.quantity,
            f"{row.n:,}",
            f"{row.n_clusters:,}",
            estimate(row.mean, row.low, row.high, signed=True),
        )
        for row in result.summary().itertuples()
    )
    return Table(f"{name}: over all layers", ("quantity", "n", "clusters", "mean [95 %]"), rows)


def _layers(name: str, result: RoutingResult) -> Table:
    shown, rows = ("overlap", "chance", "excess"), []
    for row in result.by_layer().to_dict(orient="records"):
        cells = [estimate(row[c], row[f"{c}_low"], row[f"{c}_high"], signed=True) for c in shown]
        rows.append((row["units"], str(row["layer"]), *cells))
    header = ("units", "layer", "overlap", "chance", _EXCESS)
    return Table(f"{name}: by layer", header, tuple(rows), keys=2)


def _languages(name: str, result: RoutingResult) -> Table:
    rows = tuple(
        (unit, *(number(value, signed=True) for value in result.with_others(unit))) for unit in result.units
    )
    return Table(f"{name}: {_EXCESS}, mean over a language's pairs", ("units", *result.languages), rows)


def plot_routing(results: Sequence[RoutingResult], names: Sequence[str]) -> Figure:
    """By kind of unit and layer: left, overlap and chance (empty markers, dotted); right, their difference.

    Means over pairs of languages; bands are 95 % over clusters of facts.
    """
    data, units = routing_data(results, names), results[0].units
    layers = range(results[0].dots.shape[-1])
    columns = 2 if width_for(8.8) >= 5 else 1
    with new_figure(8.8, 0.5 + 2.6 * len(units) * 2 / columns) as figure:
        grid = figure.subplots(2 * len(units) // columns, columns, squeeze=False).reshape(-1, 2)
        for row, unit in zip(grid, units, strict=True):
            for axes, curves in zip(row, (("overlap", "chance"), (_EXCESS,)), strict=True):
                for index, name in enumerate(names):
                    for curve in curves:
                        part = data[
                            (data.checkpoint == name) & (data.units == unit) & (data.quantity == curve)
                        ]
                        label = name if len(curves) == 1 else f"{name}: {curve}"
                        show_curve(axes, part, index, label, full=curve == curves[0])
                axes.axhline(0, color="0.4", linewidth=0.8)
                axes.set_title(f"{unit}: {' and '.join(curves)}", loc="left", fontsize=9)
                show_layers(axes, layers)
            row[0].set_ylabel("cosine of attributions")
        show_legend(figure, names, full="overlap", empty="chance: another fact of its relation")
        return figure


def plot_pairs(result: RoutingResult, name: str) -> Figure:
    """Overlap above chance of every two languages, over all layers.

    A dot: shown to differ from 0 when all pairs of the figure are corrected together.
    """
    shown = {unit: result.matrix(unit) for unit in result.units}
    masks, marked = found([p for _, p in shown.values()], "pairs of languages")
    most = max(float(np.nanmax(np.abs(values), initial=0)) for values, _ in shown.values())
    side = max(2.2, 0.8 + 0.2 * len(result.languages))
    with new_figure(1.8 + side * len(result.units), 0.7 + side) as figure:
        grid = figure.subplots(1, len(result.units), squeeze=False)[0]
        for axes, (unit, (values, _)), mask in zip(grid, shown.items(), masks, strict=True):
            image = show_languages(axes, values, mask | mask.T, result.languages, most)
            axes.set_title(unit, loc="left", fontsize=9)
        figure.colorbar(image, ax=grid, label=_EXCESS, fraction=0.05)
        counted = f"{len(result.fact_ids)} facts in {len(set(result.groups))} clusters"
        figure.suptitle(f"{name}: {counted}\ndot: {marked}", fontsize=9)
        return figure


def routing_data(results: Sequence[RoutingResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_routing`, tidy: checkpoint, units, quantity, layer, n, n_clusters, mean, ..."""
    import pandas as pd

    tables = []
    for result, name in zip(results, names, strict=True):
        table = result.by_layer()
        for quantity, short in (("overlap", "overlap"), ("chance", "chance"), (_EXCESS, "excess")):
            part = table[["units", "layer", "n", "n_clusters", short, f"{short}_low", f"{short}_high"]]
            part = part.set_axis(["units", "layer", "n", "n_clusters", "mean", "low", "high"], axis=1)
            tables.append(part.assign(checkpoint=name, quantity=quantity))
    order = ["checkpoint", "units", "quantity", "layer", "n", "n_clusters", "mean", "low", "high"]
    return pd.concat(tables, ignore_index=True)[order]
