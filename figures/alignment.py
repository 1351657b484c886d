"""Whether translations meet: retrieval and CKA per layer, pairs with English apart from other pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.layers import plot_matrices, show_curve, show_layers, show_legend
from figures.probing import layer_table
from figures.style import new_figure, width_for
from figures.table import Table, number
from probes.alignment_results import AlignmentResult
from probes.layers import layer_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["alignment_data", "drawings", "plot_alignment", "plot_pairs", "tables"]

_KINDS = {"en-x": "English with another language", "x-y": "two other languages"}


_LEGEND = (
    "mutual: share of facts whose two vectors find each other among all facts, raw as in MEXA; 95 % "
    "intervals over clusters of facts; in parentheses CKA when the facts of one language are shuffled, in "
    "the mean over all orders; calibrated: CKA counted from there, 1 if alike, 0 on average by chance."
)


def drawings(results: Sequence[AlignmentResult], names: Sequence[str]) -> list[Drawing]:
    """Alignment per layer, and per checkpoint a matrix of languages."""
    return [
        Drawing("", partial(plot_alignment, results, names), alignment_data(results, names)),
        *(
            Drawing(f"{name}.languages", partial(plot_pairs, result, name), result.to_frame())
            for result, name in zip(results, names, strict=True)
        ),
    ]


def tables(results: Sequence[AlignmentResult], names: Sequence[str]) -> list[Table]:
    """Per checkpoint and kind of pair the scores by layer; MEXA with English by language."""
    shown = [
        _layers(name, result, kind)
        for name, result in zip(names, results, strict=True)
        for kind in result.pairs
    ]
    if len(results[0].mexa_by_language()):
        shown.append(_mexa(results, names))
    counted = f"{len(results[0].fact_ids)} prompts in {len(set(results[0].groups))} clusters. "
    return [replace(shown[0], note=counted + _LEGEND), *shown[1:]]


def _layers(name: str, result: AlignmentResult, kind: str) -> Table:
    curves = [*(f"mutual {treatment} {kind}" for treatment in result.treatments), f"CKA {kind}"]
    header = ["layer", "mutual raw", "mutual centered", "CKA (shuffled)"]
    if result.calibrated_parts is not None:
        curves.append(f"CKA calibrated {kind}")
        header.append("CKA calibrated")
    table = layer_table(f"{name}: {_KINDS[kind]}", result, curves)
    floors = [number(float(value)) for value in result.shuffled(kind)]
    rows = tuple(
        (*row[:3], f"{row[3]} ({floor})", *row[4:]) for row, floor in zip(table.rows, floors, strict=True)
    )
    return replace(table, header=tuple(header), rows=rows)


def _mexa(results: Sequence[AlignmentResult], names: Sequence[str]) -> Table:
    frames = [result.mexa_by_language() for result in results]
    rows = tuple(
        (code, *(number(frame[c][i]) for frame in frames for c in ("mean", "best")))
        for i, code in enumerate(frames[0].language)
    )
    header = ["language"]
    for name in names:
        header += [f"{name}\nmean", f"{name}\nbest layer"]
    return Table("MEXA with English: mean over layers, and of the best layer", tuple(header), rows)


def plot_alignment(results: Sequence[AlignmentResult], names: Sequence[str]) -> Figure:
    """Per kind of pair and layer: share of facts that find each other (MEXA raw, centered), and linear CKA.

    Full signs are raw retrieval (MEXA) and CKA; empty signs and dotted lines retrieval with the language
    means taken off, and CKA when the facts of one language are shuffled. Bands are 95 % over clusters of
    facts.
    """
    data, kinds = alignment_data(results, names), list(results[0].pairs)
    columns = 2 if width_for(8.8) >= 5 else 1
    with new_figure(8.8, 0.5 + 2.4 * len(kinds) * 2 / columns) as figure:
        grid = figure.subplots(2 * len(kinds) // columns, columns, squeeze=False).reshape(-1, 2)
        for row, kind in enumerate(kinds):
            pairs = (("mutual raw", "mutual centered"), ("CKA", "CKA shuffled"))
            for axes, curves in zip(grid[row], pairs, strict=True):
                for index, name in enumerate(names):
                    for curve in curves:
                        part = data[(data.checkpoint == name) & (data.curve == f"{curve} {kind}")]
                        show_curve(axes, part, index, f"{name}: {curve}", full=curve == curves[0])
                axes.set_title(_KINDS[kind], loc="left", fontsize=9)
                show_layers(axes, results[0].layers)
            grid[row, 0].set_ylabel("share that find each other")
            grid[row, 1].set_ylabel("linear CKA")
        for column in grid.T:
            top = max(axes.get_ylim()[1] for axes in column)
            for axes in column:
                axes.set_ylim(0, top)
        show_legend(
            figure,
            names,
            full="raw (MEXA); CKA",
            empty="centered; CKA of shuffled facts",
        )
        return figure


def plot_pairs(result: AlignmentResult, name: str) -> Figure:
    """Share of facts that find their translation, by pair and layer, raw and centered."""
    return plot_matrices(
        {treatment: result.retrieval(treatment) for treatment in result.treatments},
        result.layers,
        result.languages,
        low=0.0,
        legend=("query", "its translation in", "share that finds it"),
        title=f"{name}: retrieval among {len(result.fact_ids)} facts",
    )


def alignment_data(results: Sequence[AlignmentResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_alignment`, tidy: checkpoint, curve, layer, n, n_clusters, mean, low, high."""
    import pandas as pd

    tables = []
    for result, name in zip(results, names, strict=True):
        tables.append(result.by_layer().assign(checkpoint=name))
        for kind in result.pairs:
            layers = [layer_name(layer) for layer in result.layers]
            floor = dict.fromkeys(("mean", "low", "high"), result.shuffled(kind))
            common = {
                "layer": layers,
                "n": len(result.fact_ids),
                "n_clusters": len(set(result.groups)),
                "checkpoint": name,
            }
            tables.append(pd.DataFrame({"curve": f"CKA shuffled {kind}", **common, **floor}))
    order = ["checkpoint", "curve", "layer", "n", "n_clusters", "mean", "low", "high"]
    return pd.concat(tables, ignore_index=True)[order]
