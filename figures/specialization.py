"""Specialization of neurons or heads: a curve over layers per checkpoint, and a bar per language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import look, new_figure
from interp.data.languages import LANGUAGES
from interp.results import UnitResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plot_specialization", "specialization_data"]


def plot_specialization(results: Sequence[UnitResult], names: Sequence[str]) -> Figure:
    """Left: mean specialization per layer with its 95 % interval. Right: how much of it belongs to each language."""
    with new_figure(9.5, 0.9 + 0.26 * max(10, len(results[0].languages))) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
        for index, (result, name) in enumerate(zip(results, names, strict=True)):
            _curve(left, result, name, index)
        left.set(xlabel="layer", ylabel=f"mean specialization of its {results[0].unit}s (nats)")
        left.set_xticks(range(0, results[0].n_layers, max(1, results[0].n_layers // 8)))
        left.axhline(0, color="0.4", linewidth=0.8)
        _bars(right, results, names)
        title = "with 95 % interval over blocks of facts"
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3, title=title)
        return figure


def specialization_data(results: Sequence[UnitResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_specialization`, tidy: what, checkpoint, layer or language, value, low, high."""
    import pandas as pd

    rows = []
    for result, name in zip(results, names, strict=True):
        low, high = result.per_layer.interval()
        for layer, (value, a, b) in enumerate(zip(result.per_layer.value, low, high, strict=True)):
            rows.append((f"mean {result.unit} specialization (nats)", name, f"layer {layer}", value, a, b))
        title, values = result.per_language_bars()
        rows += [(title, name, c, v, np.nan, np.nan) for c, v in zip(result.languages, values, strict=True)]
    return pd.DataFrame(rows, columns=["quantity", "checkpoint", "where", "value", "low", "high"])


def _curve(axes: Axes, result: UnitResult, name: str, index: int) -> None:
    style, mean = look(index), result.per_layer
    low, high = mean.interval()
    layers = np.arange(len(low))
    axes.fill_between(layers, low, high, color=style.color, alpha=0.2, linewidth=0)
    axes.plot(
        layers,
        mean.value,
        color=style.color,
        marker=style.marker,
        linestyle=style.line,
        markersize=4,
        label=name,
    )


def _bars(axes: Axes, results: Sequence[UnitResult], names: Sequence[str]) -> None:
    languages = results[0].languages
    height = 0.8 / len(results)
    for index, (result, name) in enumerate(zip(results, names, strict=True)):
        style = look(index)
        title, values = result.per_language_bars()
        where = np.arange(len(languages)) + (index - (len(results) - 1) / 2) * height
        axes.barh(where, values, height, color=style.color, hatch=style.hatch, edgecolor="white", label=name)
    axes.set_yticks(
        np.arange(len(languages)), [f"{LANGUAGES[c].name} ({c})" if c in LANGUAGES else c for c in languages]
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(title)
