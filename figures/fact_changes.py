"""The change of every quantity between two checkpoints, with its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analyses.comparison import FactComparison
from figures.layers import legend_below
from figures.style import look, new_figure
from interp.stats import ALPHA

__all__ = ["clusters", "plot_fact_changes"]


def clusters(table: pd.DataFrame) -> str:
    """How many clusters the intervals of a table are over, in words."""
    fewest, most = int(table.n_clusters.min()), int(table.n_clusters.max())
    return f"{most} clusters of facts" if fewest == most else f"{fewest} to {most} clusters of facts"


def plot_fact_changes(changes: FactComparison) -> Figure:
    """One row per quantity: the paired change and its 95 % interval; filled where Holm p is below .05."""
    table, style = changes.table, look(0)
    rows = np.arange(len(table))[::-1]
    with new_figure(6.5, 1.1 + 0.26 * len(table)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color="0.4", linewidth=0.8)
        axes.hlines(rows, table.low, table.high, color=style.color)
        clear, unknown = (table.holm < ALPHA).to_numpy(), table.holm.isna().to_numpy()
        for shown, filled, label in (
            (clear, style.color, "Holm p < .05"),
            (~clear & ~unknown, "white", "not shown to differ"),
            (unknown, "0.8", "no p"),
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
        figure.suptitle(
            f"{changes.names[0]} → {changes.names[1]}; Holm over {changes.corrected_over}", fontsize=9
        )
        told = f"change, 95 % interval over {clusters(table)}"
        legend_below(figure, axes.get_legend_handles_labels()[0], told)
        return figure
