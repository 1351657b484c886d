"""Ablation: what languages lose without each other's units, beyond random units, a matrix per checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.findings import found
from figures.matrices import show_languages
from figures.style import new_figure, width_for
from figures.table import Table, estimate, number
from interp.results.ablation import HARMS, AblationResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ablation_data", "drawings", "plot_ablation", "tables"]

_MOST_COLUMNS = 4  # of checkpoints
_UNITS = {"loss": "nats per token", "accuracy": "accuracy"}
_LEGEND = (
    "Rows: the language whose units were removed; columns: the language that was asked. Harm beyond as many "
    "random units of the "
    "same layers; *: {marked} of all tables, given these random sets."
)


def drawings(results: Sequence[AblationResult], names: Sequence[str]) -> list[Drawing]:
    """A matrix of languages per checkpoint."""
    return [Drawing("", partial(plot_ablation, results, names), ablation_data(results, names))]


def tables(results: Sequence[AblationResult], names: Sequence[str]) -> list[Table]:
    """Per checkpoint and kind of harm the matrix of languages, and whether its diagonal dominates."""
    first = results[0]
    removed = (
        f"{first.removed.shape[-1]} {first.unit} per language set to {first.mode}, {len(first.fact_ids)} "
        f"facts in {len(set(first.groups))} clusters, {first.draws} random sets. "
    )
    shown = []
    frames, marked = _marked(results)
    for name, result, frame in zip(names, results, frames, strict=True):
        shown += [_matrix(name, result, kind, frame[frame.harm == kind]) for kind in HARMS]
        shown.append(_dominance(name, result))
    return [replace(shown[0], note=removed + _LEGEND.format(marked=marked)), *shown[1:]]


def _marked(results: Sequence[AblationResult]) -> tuple[list[pd.DataFrame], str]:
    """The cells of every result, those ``marked`` that differ from zero after correction, and the meaning."""
    frames = [result.to_frame() for result in results]
    masks, meaning = found([frame.p.to_numpy() for frame in frames], "cells")
    return [frame.assign(marked=mask) for frame, mask in zip(frames, masks, strict=True)], meaning


def _matrix(name: str, result: AblationResult, kind: str, frame: pd.DataFrame) -> Table:
    cells = {(row.units_of, row.language): row for row in frame.itertuples()}
    rows = [(owner, *(_cell(cells[owner, code]) for code in result.languages)) for owner in result.languages]
    rows += [(), ("random units", *(number(value, signed=True) for value in result.random_harm(kind)))]
    return Table(f"{name}: {_UNITS[kind]} lost", ("units of", *result.languages), tuple(rows))


def _cell(row: Any) -> str:
    mark = "*" if row.marked else ""
    return f"{number(row.beyond_random, signed=True)}{mark}"


def _dominance(name: str, result: AblationResult) -> Table:
    rows = tuple(
        (
            _UNITS[row.harm],
            estimate(row.value, row.low, row.high, 4, signed=True),
            f"{row.p:.2g}",
            f"{row.least_p:.2g}",
        )
        for row in result.dominances().itertuples()
    )
    header = ("lost", "own above other languages [95 %]", "p", "smallest possible p")
    note = "p: share of orders of the rows whose diagonal is as large."
    return Table(f"{name}: does a language's own diagonal dominate?", header, rows, note)


def plot_ablation(results: Sequence[AblationResult], names: Sequence[str]) -> Figure:
    """Harm beyond random units, a column per checkpoint: nats per token above, accuracy below.

    Rows are the language whose units were removed, columns the language that was asked. A dot: shown to
    differ from 0 when all cells of the figure are corrected together.
    """
    data, languages = ablation_data(results, names), results[0].languages
    _, marked = _marked(results)
    n = len(languages)
    side = max(2.1, 0.5 + 0.108 * n)
    natural = 1.4 + side * min(len(results), _MOST_COLUMNS)
    columns = max(1, min(len(results), int((width_for(natural) - 0.85) / side)))
    lines = -(-len(results) // columns)
    with new_figure(natural, 0.8 + (side + 0.3) * len(HARMS) * lines) as figure:
        grid = figure.subplots(len(HARMS) * lines, columns, squeeze=False)
        for block, kind in enumerate(HARMS):
            rows = grid[block * lines : (block + 1) * lines]
            row = list(rows.flat)[: len(results)]
            for axes in list(rows.flat)[len(results) :]:
                axes.remove()
            shown = data[data.harm == kind]
            for axes, name in zip(row, names, strict=True):
                part = shown[shown.checkpoint == name]
                clear = part.marked.to_numpy().reshape(n, n)
                values = part.beyond_random.to_numpy().reshape(n, n)
                most = float(np.abs(shown.beyond_random).max())
                image = show_languages(axes, values, clear, languages, most)
                axes.set_title(name, loc="left", fontsize=9)
            figure.supylabel("units of", fontsize=9)
            figure.colorbar(image, ax=row, label=f"{_UNITS[kind]} lost beyond random units", fraction=0.05)
        figure.supxlabel("asked in", fontsize=9)
        first = results[0]
        removed = f"{first.removed.shape[-1]} {first.unit} per language set to {first.mode}"
        counted = f"{len(first.fact_ids)} facts in {len(set(first.groups))} clusters"
        figure.suptitle(f"{removed}, {counted}\ndot: {marked}", fontsize=9)
        return figure


def ablation_data(results: Sequence[AblationResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_ablation`, tidy: checkpoint, columns of `AblationResult.to_frame`, ``marked``."""
    import pandas as pd

    frames, _ = _marked(results)
    tables = [frame.assign(checkpoint=name) for frame, name in zip(frames, names, strict=True)]
    every = pd.concat(tables, ignore_index=True)
    return every[["checkpoint", *(column for column in every if column != "checkpoint")]]
