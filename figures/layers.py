"""What figures over layers share: curves with intervals, and a matrix of languages per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import look, new_figure
from probes.layers import layer_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Matrices", "plot_matrices", "show_curve", "show_layers", "show_legend", "spaced"]

_MOST_MATRICES = 6
_MOST_LABELS = 9

Matrices = Mapping[str, Float[np.ndarray, "layer row column"]]
"""Name to a matrix per layer."""


def show_curve(axes: Axes, table: pd.DataFrame, index: int, label: str, *, full: bool) -> None:
    """Draw a curve over layers with its interval; empty markers and dotted lines if not ``full``."""
    style, where = look(index), np.arange(len(table))
    axes.fill_between(where, table.low, table.high, color=style.color, alpha=0.15, linewidth=0)
    axes.plot(
        where,
        table["mean"],
        color=style.color,
        linestyle="-" if full else ":",
        marker=style.marker,
        markersize=4,
        markerfacecolor=style.color if full else "white",
        linewidth=1.2,
        label=label,
    )


def show_layers(axes: Axes, layers: Sequence[int]) -> None:
    """Label the layers on the horizontal axis, as many as fit."""
    shown = spaced(len(layers), _MOST_LABELS)
    axes.set_xticks(shown, [layer_name(layers[i]) for i in shown])
    axes.set_xlabel("layer")


def show_legend(axes: Axes) -> None:
    """Put the legend below the axes."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if len(labels) > 4 else 1
    axes.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.17), fontsize=7, ncols=columns)


def spaced(n: int, most: int) -> list[int]:
    """At most ``most`` of n places, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()


def plot_matrices(
    matrices: Matrices,
    layers: Sequence[int],
    languages: Sequence[str],
    *,
    low: float,
    legend: tuple[str, str, str],
    title: str,
) -> Figure:
    """Draw a row of matrices per name, one per layer (at most six); dark is ``low``, light 1, white NaN.

    Args:
        matrices: What is drawn.
        layers: Of the matrices.
        languages: Of rows and columns.
        low: The darkest value.
        legend: What rows, columns and colors are.
        title: Of the figure.
    """
    shown, n = spaced(len(layers), _MOST_MATRICES), len(languages)
    side = max(1.5, 0.35 + 0.15 * n)
    with new_figure(1.4 + side * len(shown), 0.9 + (side + 0.35) * len(matrices)) as figure:
        grid = figure.subplots(len(matrices), len(shown), squeeze=False)
        for axes_row, (name, values) in zip(grid, matrices.items(), strict=True):
            for axes, index in zip(axes_row, shown, strict=True):
                image = axes.imshow(values[index], vmin=low, vmax=1, cmap="viridis")
                axes.set_xticks(range(n), languages, fontsize=6, rotation=90)
                axes.set_yticks(range(n), languages if index == shown[0] else [], fontsize=6)
                axes.grid(visible=False)
                where = "embedding" if layers[index] < 0 else f"layer {layers[index]}"
                axes.set_title(f"{name}, {where}", fontsize=8)
        figure.supylabel(legend[0], fontsize=9)
        figure.supxlabel(legend[1], fontsize=9)
        figure.colorbar(image, ax=grid, label=legend[2], fraction=0.03, pad=0.01)
        figure.suptitle(title, fontsize=10)
        return figure
