"""The change between two checkpoints per layer, with intervals, against the noise of a paired change."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analyses.comparison import UnitComparison
from figures.layers import legend_below, show_layers
from figures.style import look, new_figure

__all__ = ["plot_unit_changes"]


def plot_unit_changes(comparison: UnitComparison) -> Figure:
    """Change of mean specialization per layer with 95 % intervals; gray: the noise of a paired change."""
    table = comparison.to_frame()
    with new_figure(6.5, 3.6) as figure:
        axes = figure.subplots()
        style = look(0)
        noise = np.asarray(table["noise"])
        edges = np.append(table["layer"] - 0.5, table["layer"].iloc[-1] + 0.5)
        axes.stairs(
            noise,
            edges,
            baseline=-noise,
            fill=True,
            color="0.85",
            label="noise (95 % of paired changes where nothing changed)",
        )
        axes.axhline(0, color="0.4", linewidth=0.8)
        errors = np.stack([table["change"] - table["low"], table["high"] - table["change"]])
        axes.errorbar(
            table["layer"],
            table["change"],
            errors,
            color=style.color,
            marker=style.marker,
            linestyle="",
            capsize=3,
            label="change, 95 % interval",
        )
        show_layers(axes, table["layer"].tolist())
        axes.set_ylabel(f"change of mean {comparison.unit}\nspecialization (nats)")
        title = f"{comparison.names[0]} → {comparison.names[1]}: {comparison.diagnosis}"
        figure.suptitle(title, fontsize=9)
        legend_below(figure, axes.get_legend_handles_labels()[0])
        return figure
