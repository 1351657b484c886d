"""The change of every quantity between two checkpoints, with its interval."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analyses.comparison import FactComparison
from figures.style import look, new_figure

__all__ = ["plot_fact_changes"]


def plot_fact_changes(changes: FactComparison) -> Figure:
    """One row per quantity: the paired change and its 95 % interval; filled where Holm's p is below .05."""
    table, style = changes.table, look(0)
    rows = np.arange(len(table))[::-1]
    with new_figure(6.5, 1.1 + 0.26 * len(table)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color="0.4", linewidth=0.8)
        axes.hlines(rows, table.low, table.high, color=style.color)
        clear = (table.holm < 0.05).to_numpy()
        for shown, filled, label in (
            (clear, style.color, "Holm p < .05"),
            (~clear, "white", "not shown to differ"),
        ):
            if shown.any():
                axes.plot(
                    table.change[shown],
                    rows[shown],
                    linestyle="",
                    marker=style.marker,
                    markeredgecolor=style.color,
                    markerfacecolor=filled,
                    label=label,
                )
        axes.set_yticks(rows, table.quantity)
        axes.set(xlabel="change, 95 % interval over clusters of facts")
        axes.set_title(f"{changes.names[0]} → {changes.names[1]}", loc="left")
        figure.legend(loc="outside lower center", ncols=2)
        return figure
