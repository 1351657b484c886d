"""Ablation: what languages lose without each other's units, beyond random units, a matrix per checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.matrices import show_languages
from figures.style import new_figure
from figures.table import Table, estimate, number
from interp.results.ablation import HARMS, AblationResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ablation_data", "drawings", "plot_ablation", "tables"]

_UNITS = {"loss": "nats per token", "accuracy": "accuracy"}
_LEGEND = (
    "Rows: the language whose units were removed; columns: the language that was asked. Harm beyond as many "
    "random units of the same layers; *: the 95 % interval over clusters of facts leaves out 0, given these "
    "random sets."
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
    for name, result in zip(names, results, strict=True):
        frame = result.to_frame()
        shown += [_matrix(name, result, kind, frame[frame.harm == kind]) for kind in HARMS]
        shown.append(_dominance(name, result))
    return [replace(shown[0], note=removed + _LEGEND), *shown[1:]]


def _matrix(name: str, result: AblationResult, kind: str, frame: pd.DataFrame) -> Table:
    cells = {(row.units_of, row.language): row for row in frame.itertuples()}
    rows = [(owner, *(_cell(cells[owner, code]) for code in result.languages)) for owner in result.languages]
    rows += [(), ("random units", *(number(value, signed=True) for value in result.random_harm(kind)))]
    return Table(f"{name}: {_UNITS[kind]} lost", ("units of", *result.languages), tuple(rows))


def _cell(row: Any) -> str:
    mark = "*" if row.low > 0 or row.high < 0 else ""
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

    Rows are the language whose units were removed, columns the language that was asked. A dot: the cell's own
    95 % interval over clusters of facts leaves out 0, as one in 20 does by chance.
    """
    data, languages = ablation_data(results, names), results[0].languages
    n = len(languages)
    side = max(2.4, 0.9 + 0.2 * n)
    with new_figure(1.4 + side * len(results), 0.8 + side * len(HARMS)) as figure:
        grid = figure.subplots(len(HARMS), len(results), squeeze=False)
        for row, kind in zip(grid, HARMS, strict=True):
            shown = data[data.harm == kind]
            for axes, name in zip(row, names, strict=True):
                part = shown[shown.checkpoint == name]
                clear = ((part.low > 0) | (part.high < 0)).to_numpy().reshape(n, n)
                values = part.beyond_random.to_numpy().reshape(n, n)
                most = float(np.abs(shown.beyond_random).max())
                image = show_languages(axes, values, clear, languages, most)
                axes.set_title(name, loc="left", fontsize=9)
            row[0].set_ylabel("units of")
            figure.colorbar(image, ax=row, label=f"{_UNITS[kind]} lost beyond random units", fraction=0.05)
        for axes in grid[-1]:
            axes.set_xlabel("asked in")
        first = results[0]
        removed = f"{first.removed.shape[-1]} {first.unit} per language set to {first.mode}"
        figure.suptitle(f"{removed}, {len(first.fact_ids)} facts", fontsize=10)
        return figure


def ablation_data(results: Sequence[AblationResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_ablation`, tidy: checkpoint, then the columns of `AblationResult.to_frame`."""
    import pandas as pd

    tables = [result.to_frame().assign(checkpoint=name) for result, name in zip(results, names, strict=True)]
    table = pd.concat(tables, ignore_index=True)
    return table[["checkpoint", *(column for column in table if column != "checkpoint")]]
