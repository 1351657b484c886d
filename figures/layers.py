"""What figures over layers share: curves with intervals, and a matrix of languages per layer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.style import look, new_figure, width_for
from probes.layers import layer_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Matrices",
    "layer_ticks",
    "legend_below",
    "plot_matrices",
    "show_curve",
    "show_layers",
    "show_legend",
    "spaced",
]

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


def show_layers(axes: Axes, layers: Sequence[int], most: int = _MOST_LABELS) -> None:
    """Label the layers on the horizontal axis, as many as fit."""
    shown = layer_ticks(layers, most)
    axes.set_xticks(shown, [layer_name(layers[i]) for i in shown])
    axes.set_xlabel("layer")


def layer_ticks(layers: Sequence[int], most: int = _MOST_LABELS) -> list[int]:
    """Places of the layers to label: with one stride, counted from layer 0; and of the embedding."""
    stride = _stride(len(layers), most)
    first = next((i for i, layer in enumerate(layers) if layer >= 0), 0)
    embedding = list(range(first))
    return [*embedding, *range(first + (stride if embedding and stride > 1 else 0), len(layers), stride)]


def show_legend(
    figure: Figure, names: Sequence[str], *, full: str = "", empty: str = "", chance: str = ""
) -> None:
    """Say below the panels which checkpoint looks how, and once what empty signs and the gray line are.

    Args:
        figure: Grows by the height of the legend.
        names: Of the checkpoints.
        full: What full signs and lines are.
        empty: What empty signs and dotted lines are.
        chance: What the gray line is.
    """
    handles = [
        Line2D([], [], color=style.color, marker=style.marker, markersize=4, linewidth=1.2, label=name)
        for style, name in ((look(i), name) for i, name in enumerate(names))
    ]
    common: dict[str, Any] = {"color": "0.2", "marker": "o", "markersize": 4, "linewidth": 1.2}
    if full:
        handles.append(Line2D([], [], label=full, **common))
    if empty:
        handles.append(Line2D([], [], label=empty, linestyle=":", markerfacecolor="white", **common))
    if chance:
        handles.append(Line2D([], [], label=chance, color="0.4", linewidth=0.8))
    legend_below(figure, handles)


def legend_below(figure: Figure, handles: Sequence[Artist | Container], title: str = "") -> None:
    """A legend under the panels in as many columns as fit; the figure grows by its height."""
    width, height = figure.get_size_inches()
    for handle in handles:
        handle.set_label(textwrap.fill(str(handle.get_label()), int((width - 0.6) / 0.068)))
    lines = [line for handle in handles for line in str(handle.get_label()).split("\n")]
    longest, broken = max(map(len, lines)), len(lines) - len(handles)
    columns = max(1, min(len(handles), int(width / (0.5 + 0.068 * longest))))
    rows = -(-len(handles) // columns) + broken + bool(title)
    figure.set_size_inches(width, height + 0.15 * rows)
    heading = textwrap.fill(title, int((width - 0.2) / 0.068))
    figure.legend(
        handles=list(handles), loc="outside lower center", ncols=columns, fontsize=7, title=heading or None,
        title_fontsize=7,
    )  # fmt: skip


def spaced(n: int, most: int) -> list[int]:
    """At most ``most`` of n places, with one stride, from the first on."""
    return list(range(0, n, _stride(n, most)))


def _stride(n: int, most: int) -> int:
    """The smallest round stride that leaves at most ``most`` of n places."""
    return next(s for s in (*range(1, 7), 8, *range(10, n + 10, 5)) if -(-n // s) <= most)


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
    side = max(1.5, 0.33 + 0.118 * n)
    natural = 1.4 + side * len(shown)
    columns = max(1, min(len(shown), int((width_for(natural) - 0.75) / side)))
    panels = [(name, index) for name in matrices for index in shown]
    rows = -(-len(shown) // columns)
    with new_figure(natural, 0.9 + (side + 0.35) * rows * len(matrices)) as figure:
        grid = figure.subplots(rows * len(matrices), columns, squeeze=False)
        places = [axes for block in range(len(matrices)) for axes in _block(grid, block, rows, len(shown))]
        for axes, (name, index) in zip(places, panels, strict=True):
            image = axes.imshow(matrices[name][index], vmin=low, vmax=1, cmap="viridis")
            axes.set_xticks(range(n), languages, fontsize=6, rotation=90)
            axes.set_yticks(range(n), languages if axes in grid[:, 0] else [], fontsize=6)
            axes.grid(visible=False)
            where = "embedding" if layers[index] < 0 else f"layer {layers[index]}"
            axes.set_title(f"{name}, {where}", fontsize=8)
        figure.supylabel(legend[0], fontsize=9)
        figure.supxlabel(legend[1], fontsize=9)
        side_of = "top" if columns == 1 else "right"
        figure.colorbar(image, ax=grid, label=legend[2], fraction=0.03, pad=0.01, location=side_of)
        figure.suptitle(title, fontsize=10)
        return figure


def _block(grid: np.ndarray, block: int, rows: int, n: int) -> list[Axes]:
    """The axes of one name; those that are left over are removed."""
    every = list(grid[block * rows : (block + 1) * rows].flat)
    for axes in every[n:]:
        axes.remove()
    return every[:n]
