"""What patching recovers: by layer, layer x position, or layer x head; and layer x language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from figures.attribution import attribution_drawings, attribution_tables
from figures.drawing import Drawing
from figures.findings import found
from figures.layers import layer_ticks, show_legend, spaced
from figures.style import look, new_figure
from figures.table import Table, estimate, number
from interp.results.attribution import AttributionResult
from interp.results.patching import PatchingResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawings", "plot_languages", "plot_patching", "tables"]

_FEW_POSITIONS = 4
_MOST_LABELS = 12
_MOST_ROWS = 12
_LEGEND = (
    "recovery: (patched - corrupt) / (clean - corrupt), means over facts; floor: the same with an unrelated "
    "fact's activations; beyond: recovery - floor. rescued: share of facts where the right answer overtakes "
    "the wrong one; control: an unrelated fact. 95 % intervals over clusters of facts."
)


def drawings(
    results: Sequence[PatchingResult] | Sequence[AttributionResult],
    names: Sequence[str],
    metric: str = "logit_diff",
) -> list[Drawing]:
    """Recovery by layer, head or position, and by language; of estimates: `figures.attribution`."""
    if isinstance(results[0], AttributionResult):
        return attribution_drawings(cast("Sequence[AttributionResult]", results), names)
    patched = cast("Sequence[PatchingResult]", results)
    return [
        Drawing("", partial(plot_patching, patched, names, metric), _recovery(patched, names, metric)),
        *(
            Drawing(
                f"{name}.languages", partial(plot_languages, result, name, metric), result.to_frame(metric)
            )
            for result, name in zip(patched, names, strict=True)
            if len(result.languages) > 1
        ),
    ]


def tables(
    results: Sequence[PatchingResult] | Sequence[AttributionResult],
    names: Sequence[str],
    metric: str = "logit_diff",
) -> list[Table]:
    """Per checkpoint the cells that recover most, and the best by language; of estimates, the largest."""
    if isinstance(results[0], AttributionResult):
        return attribution_tables(cast("Sequence[AttributionResult]", results), names)
    shown = [
        table
        for name, result in zip(names, cast("Sequence[PatchingResult]", results), strict=True)
        for table in (_cells(name, result, metric), _languages(name, result, metric))
    ]
    return [replace(shown[0], note=f"{_LEGEND} {shown[0].note}"), *shown[1:]]


def _cells(name: str, result: PatchingResult, metric: str) -> Table:
    every, frame = result.recovery(metric), result.strongest(_MOST_ROWS, metric)
    note = f"{name}: {result.counted()}."
    if len(every) > len(frame):
        note += f" The {len(frame)} of {len(every)} cells that recover most."
    several = len(result.units) > 1
    rows = tuple(
        (*_place(r, several), f"{r['n']:,}", f"{r['n_clusters']:,}", *_values(r))
        for r in frame.to_dict("records")
    )
    places = ("layer", result.site, "position") if several else ("layer", "position")
    header = (*places, "n", "clusters", "clean", "corrupt", "recovery", "floor", "beyond")
    return Table(f"{name}: {_title(result)}, {metric}", header, rows, note, keys=len(places))


def _place(row: dict[str, Any], several: bool) -> tuple[str, ...]:
    unit = (str(row["unit"]),) if several else ()
    return (str(row["layer"]), *unit, row["position"])


def _values(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        number(row["clean"], 2),
        number(row["corrupt"], 2),
        estimate(row["recovery"], row["low"], row["high"], 2),
        number(row["floor"], 2),
        estimate(row["beyond"], row["beyond_low"], row["beyond_high"], 2),
    )


def _languages(name: str, result: PatchingResult, metric: str) -> Table:
    """Per language, the cell that recovers most over all languages."""
    rows = tuple(
        (
            row["language"],
            f"{row['n']:,}",
            f"{row['n_clusters']:,}",
            estimate(row["recovery"], row["low"], row["high"], 2),
            estimate(row["beyond"], row["beyond_low"], row["beyond_high"], 2),
            number(row["rescued"], 2),
            number(row["rescued_by_control"], 2),
        )
        for row in result.by_language(metric).to_dict("records")
    )
    header = ("language", "n", "clusters", "recovery", "beyond", "rescued", "control")
    return Table(f"{name}: by language, at {result.name_of(*result.best(metric))}", header, rows)


def _recovery(results: Sequence[PatchingResult], names: Sequence[str], metric: str) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(
        [result.recovery(metric).assign(checkpoint=name) for result, name in zip(results, names, strict=True)]
    )


def plot_patching(
    results: Sequence[PatchingResult], names: Sequence[str], metric: str = "logit_diff"
) -> Figure:
    """Draw recovery with its floor.

    Heads: a map layer x head per checkpoint and position. Many positions: layer x position. Else curves over
    layers with 95 % intervals, the floor dotted. On maps a dot marks a cell that is shown to recover more
    than an unrelated fact does, when all cells of the figure are corrected together.
    """
    if len(results[0].units) > 1:
        return _maps(results, names, metric, "unit")
    if len(results[0].positions) > _FEW_POSITIONS:
        return _maps(results, names, metric, "position")
    return _curves(results, names, metric)


def plot_languages(result: PatchingResult, name: str, metric: str = "logit_diff") -> Figure:
    """Draw recovery by layer and language, a map per position, for the unit that recovers most."""
    _, unit, _ = result.best(metric)
    few = len(result.positions) <= _FEW_POSITIONS
    positions = range(len(result.positions)) if few else (result.best(metric)[2],)
    n_layers = result.patched.shape[3]
    with new_figure(
        1.6 + 0.35 * n_layers * len(positions) + 1.2, 1.4 + 0.26 * len(result.languages)
    ) as figure:
        panels = figure.subplots(1, len(positions), squeeze=False, sharey=True)[0]
        tables = {code: result.recovery(metric, code) for code in result.languages}
        shape = result.patched.shape[3:]
        chosen_p = [_cut(table, shape)[:, unit, positions]["beyond_p"] for table in tables.values()]
        masks, marked = found(chosen_p, "cells")
        for place, (axes, position) in enumerate(zip(panels, positions, strict=True)):
            rows = {code: _cut(table, shape)[:, unit, position] for code, table in tables.items()}
            values = np.stack([row["recovery"] for row in rows.values()])
            above = np.stack([row["beyond"] > 0 for row in rows.values()])
            image = _map(axes, values, above & np.stack([mask[:, place] for mask in masks]))
            axes.set_yticks(range(len(rows)), list(rows), fontsize=7)
            _number(axes, n_layers)
            axes.set_xlabel("layer")
            axes.set_title(result.positions[position], fontsize=9)
        figure.colorbar(image, ax=panels, label=f"recovery ({metric})", fraction=0.05)
        chosen = "" if len(result.units) == 1 else f" {result.units[unit]}"
        figure.suptitle(f"{name}: {result.site}{chosen}, {result.mode}; dot: {marked}", fontsize=9)
        return figure


def _curves(results: Sequence[PatchingResult], names: Sequence[str], metric: str) -> Figure:
    positions = results[0].positions
    with new_figure(1.2 + 2.9 * len(positions), 3.2) as figure:
        panels = figure.subplots(1, len(positions), squeeze=False, sharey=True)[0]
        for axes, position in zip(panels, positions, strict=True):
            for index, (result, name) in enumerate(zip(results, names, strict=True)):
                table = result.recovery(metric)
                part, style = table[table.position == position], look(index)
                axes.fill_between(part.layer, part.low, part.high, color=style.color, alpha=0.15, linewidth=0)
                axes.plot(part.layer, part.recovery, color=style.color, marker=style.marker, label=name)
                axes.plot(
                    part.layer, part.floor, color=style.color, linestyle=":", label=f"{name}, unrelated fact"
                )
            axes.axhline(0, color="0.6", linewidth=0.6)
            axes.axhline(1, color="0.6", linewidth=0.6)
            _number(axes, results[0].patched.shape[3])
            axes.set_xlabel("layer")
            axes.set_title(position)
        panels[0].set_ylabel(f"recovery ({metric})")
        show_legend(figure, names, full="recovery", empty="floor: an unrelated fact", chance="none, all")
        figure.suptitle(_title(results[0]), fontsize=10)
        return figure


def _maps(results: Sequence[PatchingResult], names: Sequence[str], metric: str, across: str) -> Figure:
    """A map of layer x ``across`` per checkpoint, and per position where units are across."""
    shape = results[0].patched.shape[3:]
    columns = results[0].positions if across == "unit" else ("",)
    wide = shape[1] if across == "unit" else shape[2]
    labels = results[0].units if across == "unit" else results[0].positions
    side = (1.2 + max(1.4, min(0.22 * wide, 6)), 0.9 + max(1.2, min(0.22 * shape[0], 3)))
    with new_figure(1.2 + side[0] * len(columns), 0.6 + side[1] * len(results)) as figure:
        grid = figure.subplots(len(results), len(columns), squeeze=False)
        cuts = [_cut(result.recovery(metric), shape) for result in results]
        masks, marked = found([cut["beyond_p"] for cut in cuts], "cells")
        for row, name, cut, mask in zip(grid, names, cuts, masks, strict=True):
            for place, (axes, column) in enumerate(zip(row, columns, strict=True)):
                here = np.s_[:, :, place] if across == "unit" else np.s_[:, 0]
                image = _map(axes, cut["recovery"][here], mask[here] & (cut["beyond"][here] > 0))
                chosen = spaced(len(labels), _MOST_LABELS)
                axes.set_xticks(chosen, [labels[i] for i in chosen], fontsize=6, rotation=90)
                rows = spaced(shape[0], _MOST_LABELS)
                axes.set_yticks(rows, [str(i) for i in rows], fontsize=7)
                axes.set_title(f"{name} {column}".strip(), fontsize=8)
                axes.set_ylabel("layer")
                axes.invert_yaxis()  # the first layer below, as on the maps of estimates
                axes.set_xlabel(results[0].site if across == "unit" else "position")
                figure.colorbar(image, ax=axes, fraction=0.05)
        figure.suptitle(f"{_title(results[0])}: recovery ({metric}); dot: {marked}", fontsize=9)
        return figure


def _map(axes: Axes, values: Float[np.ndarray, "row column"], marked: np.ndarray) -> AxesImage:
    """Values on a scale that is white at 0 and symmetric; dots on what is marked."""
    most = max(1.0, float(np.nanmax(np.abs(values), initial=0)))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    rows, columns = np.nonzero(marked)
    axes.scatter(columns, rows, s=4, color="black")
    axes.grid(visible=False)
    return image


def _cut(table: pd.DataFrame, shape: tuple[int, ...]) -> np.ndarray:
    """Columns of a table of cells, in the cells' shape."""
    kind = [("recovery", float), ("beyond", float), ("beyond_p", float)]
    cut = np.empty(len(table), dtype=kind)
    for name, _ in kind:
        cut[name] = table[name]
    return cut.reshape(shape)


def _number(axes: Axes, n_layers: int) -> None:
    chosen = layer_ticks(range(n_layers))
    axes.set_xticks(chosen, [str(i) for i in chosen])


def _title(result: PatchingResult) -> str:
    where = f" from {','.join(result.sources)}" if result.sources else ""
    return f"{result.site}{' onward' * result.onward}, {result.mode}{where}"
