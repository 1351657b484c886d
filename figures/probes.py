"""What probes read: curves per layer against control and chance, and a matrix of languages per layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from figures.layers import plot_matrices, show_curve, show_layers, show_legend
from figures.style import new_figure
from probes.results import ProbeResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plot_probes", "plot_transfer", "probe_data"]


def plot_probes(results: Sequence[ProbeResult], names: Sequence[str]) -> Figure:
    """Balanced accuracy per layer with its 95 % interval: within a language, and carried across languages.

    Full signs are the score; empty signs and dotted lines the control labels (left) or probes whose language offset was not
    taken off (right). The gray line is chance.
    """
    first, data = results[0], probe_data(results, names)
    own = "all languages" if first.joint else "within a language"
    panels = {own: ("accuracy", "control")}
    if (data.curve == "transfer raw").any():
        panels["carried to other languages"] = ("transfer centered", "transfer raw")
    with new_figure(1.0 + 3.8 * len(panels), 4.1) as figure:
        grid = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
        for axes, (title, curves) in zip(grid, panels.items(), strict=True):
            for index, name in enumerate(names):
                for curve in curves:
                    part = data[(data.checkpoint == name) & (data.curve == curve)]
                    show_curve(axes, part, index, f"{name}: {curve}", full=curve == curves[0])
            axes.axhline(first.chance, color="0.4", linewidth=0.8)
            axes.set_title(title, loc="left")
            show_layers(axes, first.layers)
            show_legend(axes)
        grid[0].set(ylabel="balanced accuracy, 95 % interval", ylim=(0, 1.02))
        figure.suptitle(f"Read from the layers: {first.said}", fontsize=10)
        return figure


def plot_transfer(result: ProbeResult, name: str) -> Figure:
    """Balanced accuracy of every language: a matrix of training and test per layer, or a column per layer for one probe.

    Colors run from chance (dark) to 1. White: not asked.
    """
    if result.joint:
        return _columns(result, name)
    return plot_matrices(
        {offset: result.matrix(offset) for offset in result.offsets},
        result.layers,
        result.languages,
        low=result.chance,
        said=("trained on", "tested on", "balanced accuracy"),
        title=f"{name}: {result.said}",
    )


def probe_data(results: Sequence[ProbeResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_probes`, tidy: checkpoint, task, curve, layer, n, n_clusters, mean, low, ..."""
    import pandas as pd

    tables = [
        result.by_layer().assign(checkpoint=name, task=result.task, chance=result.chance)
        for result, name in zip(results, names, strict=True)
    ]
    order = ["checkpoint", "task", "curve", "layer", "n", "n_clusters", "mean", "low", "high", "chance"]
    return pd.concat(tables, ignore_index=True)[order]


def _columns(result: ProbeResult, name: str) -> Figure:
    values = result.matrix()[:, 0].T
    n, layers = values.shape
    with new_figure(2.2 + 0.32 * layers, 1.0 + 0.2 * n) as figure:
        axes = figure.subplots()
        image = axes.imshow(values, vmin=result.chance, vmax=1, cmap="viridis", aspect="auto")
        axes.set_yticks(range(n), result.languages)
        axes.grid(visible=False)
        show_layers(axes, result.layers)
        figure.colorbar(image, ax=axes, label="share recognized")
        axes.set_title(f"{name}: {result.said}", loc="left")
        return figure
