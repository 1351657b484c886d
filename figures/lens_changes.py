"""How a lens changes between checkpoints: a panel per quantity, as layers and probabilities share no axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.comparison import FactComparison
from figures.fact_changes import clusters
from figures.style import look, new_figure, width_for
from interp.data.languages import LANGUAGES
from interp.stats import ALPHA

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plot_lens_changes"]

_ALL = "all"


def plot_lens_changes(changes: FactComparison) -> Figure:
    """One row per language of the prompt, one panel per quantity: paired change with its 95 % interval.

    Filled where p, corrected over all that the command compared, is below .05; gray where there is no p.
    """
    table = changes.table.assign(**_parted(changes.table.quantity))
    names = list(dict.fromkeys(table.name))
    rows = list(dict.fromkeys(table.language))
    natural = 1.2 + 1.9 * len(names)
    columns = max(1, min(len(names), int((width_for(natural) - 0.5) / 1.25)))
    lines = -(-len(names) // columns)
    with new_figure(natural, 0.7 + (0.6 + 0.24 * len(rows)) * lines) as figure:
        grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
        panels = list(grid.flat)
        for axes in panels[len(names) :]:
            axes.remove()
        panels = panels[: len(names)]
        for axes, name in zip(panels, names, strict=True):
            _panel(axes, table[table.name == name], rows)
            axes.set_title(name, fontsize=9)
        panels[0].set_yticks(range(len(rows)), rows)
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        figure.suptitle(f"{changes.names[0]} → {changes.names[1]}", fontsize=10)
        told = f"change, 95 % interval over {clusters(table)}; "
        told += f"filled: Holm p < .05 over {changes.corrected_over}"
        figure.supxlabel(told, fontsize=8)
        return figure


def _panel(axes: Axes, table: pd.DataFrame, rows: list[str]) -> None:
    style = look(0)
    at = np.array([rows.index(language) for language in table.language])
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.hlines(at, table.low, table.high, color=style.color)
    states = ((table.holm < ALPHA, style.color), (table.holm >= ALPHA, "white"), (table.holm.isna(), "0.8"))
    for shown, color in states:
        axes.plot(
            table.change[shown],
            at[shown],
            linestyle="",
            marker=style.marker,
            markeredgecolor=style.color,
            markerfacecolor=color,
        )
    axes.locator_params(axis="x", nbins=2)
    axes.tick_params(labelsize=7)


def _parted(quantities: pd.Series) -> dict[str, list[str]]:
    """Of ``pivot area sw`` the quantity and the language."""
    parts = [name.rpartition(" ") for name in quantities]
    known = [code in LANGUAGES for _, _, code in parts]
    return {
        "name": [p[0] if k else name for p, k, name in zip(parts, known, quantities, strict=True)],
        "language": [p[2] if k else _ALL for p, k in zip(parts, known, strict=True)],
    }
