"""What probes read: curves per layer against control and chance, and a matrix of languages per layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.layers import plot_matrices, show_curve, show_layers, show_legend
from figures.style import new_figure, width_for
from figures.table import Table, estimate, rows_of
from probes.layers import LayerResult, layer_name
from probes.results import ProbeResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawings", "plot_probes", "plot_transfer", "probe_data", "tables"]


_LEGEND = (
    "balanced accuracy on facts whose group was in no training fold, 95 % intervals over clusters of facts; "
    "control: the same probe on labels dealt anew; transfer: trained on one language, tested on another; "
    "centered: "
    "after each language's mean."
)


def drawings(results: Sequence[ProbeResult], names: Sequence[str]) -> list[Drawing]:
    """Curves per layer, and per checkpoint a matrix of languages."""
    return [
        Drawing("", partial(plot_probes, results, names), probe_data(results, names)),
        *(
            Drawing(f"{name}.languages", partial(plot_transfer, result, name), result.to_frame())
            for result, name in zip(results, names, strict=True)
        ),
    ]


def tables(results: Sequence[ProbeResult], names: Sequence[str]) -> list[Table]:
    """Per checkpoint the scores by layer, and by language at the best layer."""
    shown = []
    for name, result in zip(names, results, strict=True):
        shown.append(layer_table(f"{name}: {result.task_name}", result, list(result.curves())))
        if not result.joint and len(result.languages) > 1:
            best = layer_name(result.layers[result.best_layer()])
            frame = result.by_language(result.best_layer())
            title = f"{name}: balanced accuracy by language at layer {best}"
            shown.append(Table(title, tuple(frame.columns), rows_of(frame)))
    first = results[0]
    held_out = first.folds >= 0
    counted = (
        f"{int(held_out.sum())} facts in {first.clusters_in(held_out)} clusters, {len(first.languages)} "
        f"languages, chance {first.chance:.3f}"
    )
    left = [
        f"left out of {name}: {text}" for name, r in zip(names, results, strict=True) for text in r.left_out
    ]
    return [replace(shown[0], note="; ".join([counted, _LEGEND, *left])), *shown[1:]]


def layer_table(title: str, result: LayerResult, curves: Sequence[str]) -> Table:
    """One row per layer with some curves and their intervals."""
    cells = {(row.curve, row.layer): row for row in result.by_layer().itertuples()}
    rows = tuple(
        (layer, *(_cell(cells.get((curve, layer))) for curve in curves))
        for layer in map(layer_name, result.layers)
    )
    return Table(title, ("layer", *curves), rows)


def _cell(row: Any) -> str:
    return "-" if row is None else estimate(row.mean, row.low, row.high)


def plot_probes(results: Sequence[ProbeResult], names: Sequence[str]) -> Figure:
    """Balanced accuracy per layer with its 95 % interval: within a language, and carried across languages.

    Full signs are the score; empty signs and dotted lines the control labels (left) or probes whose language
    offset was not taken off (right). The gray line is chance.
    """
    first, data = results[0], probe_data(results, names)
    own = "all languages" if first.joint else "within a language"
    panels = {own: ("accuracy", "control")}
    if (data.curve == "transfer raw").any():
        panels["carried to other languages"] = ("transfer centered", "transfer raw")
    natural = 1.0 + 3.8 * len(panels)
    columns = len(panels) if width_for(natural) >= 5 else 1
    with new_figure(natural, 0.5 + 3.2 * len(panels) / columns) as figure:
        grid = figure.subplots(len(panels) // columns, columns, sharey=True, squeeze=False).ravel()
        for axes, (title, curves) in zip(grid, panels.items(), strict=True):
            for index, name in enumerate(names):
                for curve in curves:
                    part = data[(data.checkpoint == name) & (data.curve == curve)]
                    show_curve(axes, part, index, f"{name}: {curve}", full=curve == curves[0])
            axes.axhline(first.chance, color="0.4", linewidth=0.8)
            axes.set_title(title, loc="left")
            show_layers(axes, first.layers)
            axes.set_ylabel("balanced accuracy, 95 % interval" if axes in grid[::columns] else "")
        grid[0].set_ylim(0, 1.02)
        empty = "; ".join(curves[1] for curves in panels.values())
        full = "; ".join(curves[0] for curves in panels.values())
        show_legend(figure, names, full=full, empty=empty, chance=f"chance {first.chance:.3g}")
        figure.suptitle(f"Read from the layers: {first.task_name}", fontsize=10)
        return figure


def plot_transfer(result: ProbeResult, name: str) -> Figure:
    """Balanced accuracy by language: a matrix of training and test per layer, or a column.

    Colors run from chance (dark) to 1. White: not asked.
    """
    if result.joint:
        return _columns(result, name)
    return plot_matrices(
        {offset: result.matrix(offset) for offset in result.offsets},
        result.layers,
        result.languages,
        low=result.chance,
        legend=("trained on", "tested on", "balanced accuracy"),
        title=f"{name}: {result.task_name}",
    )


def probe_data(results: Sequence[ProbeResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_probes`, tidy: checkpoint, task, curve, layer, n, n_clusters, mean, low, ..."""
    import pandas as pd

    tables = [
        result.by_layer().assign(checkpoint=name, task=result.task, chance=result.chance)
        for result, name in zip(results, names, strict=True)
    ]
    order = ["checkpoint", "task", "curve", "layer", "n", "n_clusters", "mean", "low", "high", "chance"]
    return pd.concat(tables, ignore_index=True)[order]


def _columns(result: ProbeResult, name: str) -> Figure:
    values = result.matrix()[:, 0].T
    n, layers = values.shape
    with new_figure(2.2 + 0.32 * layers, 1.0 + 0.2 * n) as figure:
        axes = figure.subplots()
        image = axes.imshow(values, vmin=result.chance, vmax=1, cmap="viridis", aspect="auto")
        axes.set_yticks(range(n), result.languages)
        axes.grid(visible=False)
        show_layers(axes, result.layers)
        figure.colorbar(image, ax=axes, label="share recognized")
        axes.set_title(f"{name}: {result.task_name}", loc="left")
        return figure
