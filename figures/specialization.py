"""Specialization of neurons or heads: a curve over layers per checkpoint, and a bar per language."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.layers import legend_below, show_layers
from figures.style import look, new_figure, width_for
from figures.table import Table, estimate, number, rows_of
from interp.data.languages import LANGUAGES
from interp.results import HeadsResult, UnitResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawings", "overall_table", "plot_specialization", "specialization_data", "tables"]


_MOST_BARS = 6  # per language; of more checkpoints each is a point
_NAMES = {"neuron": "MLP neurons", "head": "attention heads"}
_LEGENDS = {
    "neuron": "> .05 nats: neurons above 0.05 nats whose activity is most informative about the language; "
    "LAPE, PolyFact: neurons that LAPE selects as published and as the PolyFact repository runs it, a fixed "
    "share of all.",
    "head": "top head: layer.head of largest importance; shared: mean overlap of a language's top {k} heads "
    "with those of each other language.",
}
_COLUMNS = {
    "specialized": "> .05 nats",
    "lape": "LAPE",
    "lape_polyfact": "PolyFact",
    "top_head": "top head",
    "shared": "shared",
}


def drawings(results: Sequence[UnitResult], names: Sequence[str]) -> list[Drawing]:
    """Curves over layers and bars per language."""
    return [Drawing("", partial(plot_specialization, results, names), specialization_data(results, names))]


def tables(results: Sequence[UnitResult], names: Sequence[str]) -> list[Table]:
    """Units of every language, mean specialization per layer, and over all with the noise floor."""
    title = f"Mean specialization of {_NAMES[results[0].unit]}, all layers (nats)"
    return [_languages(results, names), _layers(results, names), overall_table(results, names, title)]


def _languages(results: Sequence[UnitResult], names: Sequence[str]) -> Table:
    frames = [result.by_language() for result in results]
    first = frames[0]
    counted = [name for name in first if name in _COLUMNS]
    columns = [rows_of(first[["language", "prompts", "tokens"]])]
    columns += [rows_of(frame[counted], digits=2) for frame in frames]
    rows = tuple(tuple(cell for part in row for cell in part) for row in zip(*columns, strict=True))
    header = ["language", "prompts", "tokens"]
    header += [f"{name}\n{_COLUMNS[column]}" for name in names for column in counted]
    legend = _LEGENDS[results[0].unit].format(k=getattr(results[0], "default_k", 0))
    return Table(f"{_NAMES[results[0].unit]} per language", tuple(header), rows, legend)


def _layers(results: Sequence[UnitResult], names: Sequence[str]) -> Table:
    frames = [result.summary() for result in results]
    rows = tuple(
        (layer, *(estimate(f["mean"][i], f["low"][i], f["high"][i], 4) for f in frames))
        for i, layer in enumerate(frames[0]["layer"])
    )
    title = f"Mean specialization of {_NAMES[results[0].unit]} per layer (nats)"
    blocks = f"95 % intervals over {results[0].n_blocks} blocks of facts."
    return Table(title, ("layer", *names), rows, blocks)


def overall_table(results: Sequence[UnitResult], names: Sequence[str], title: str) -> Table:
    """Mean over all layers with its interval, beside noise floor and chance, in nats."""
    rows = []
    for result, name in zip(results, names, strict=True):
        mean, floor = result.overall, result.noise_floor
        low, high = mean.interval()
        shown = estimate(float(mean.value), float(low), float(high), 4)
        between = estimate(floor.overall, float(floor.mean.low), float(floor.mean.high), 4)
        rows.append((name, shown, between, number(floor.chance, 4)))
    return Table(
        title,
        ("checkpoint", "mean [95 %]", "noise floor [95 %]", "chance"),
        tuple(rows),
        "noise floor: what the means of two texts differ by in 95 %, with its own interval over "
        f"{results[0].n_blocks} blocks; chance: largest mean with shuffled language labels.",
    )


def plot_specialization(results: Sequence[UnitResult], names: Sequence[str]) -> Figure:
    """Left: mean specialization per layer with its 95 % interval. Right: each language's part of it."""
    beside = width_for(9.5) >= 5.5
    bars = 0.9 + 0.26 * max(10, len(results[0].languages))
    with new_figure(9.5, bars if beside else 2.6 + bars) as figure:
        if beside:
            left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
        else:
            left, right = figure.subplots(2, 1, height_ratios=[2.6, bars])
        for index, (result, name) in enumerate(zip(results, names, strict=True)):
            _curve(left, result, name, index)
        left.set(ylabel=f"mean specialization of {_NAMES[results[0].unit]} (nats)")
        show_layers(left, range(results[0].n_layers))
        left.axhline(0, color="0.4", linewidth=0.8)
        _bars(right, results, names)
        legend_below(figure, left.get_legend_handles_labels()[0], "with 95 % interval over blocks of facts")
        return figure


def specialization_data(results: Sequence[UnitResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_specialization`, tidy: what, checkpoint, layer or language, value, low, high."""
    import pandas as pd

    rows = []
    for result, name in zip(results, names, strict=True):
        low, high = result.per_layer.interval()
        for layer, (value, a, b) in enumerate(zip(result.per_layer.value, low, high, strict=True)):
            rows.append((f"mean {result.unit} specialization (nats)", name, f"layer {layer}", value, a, b))
        title, values = _per_language(result)
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
    height, few = 0.8 / len(results), len(results) <= _MOST_BARS
    for index, (result, name) in enumerate(zip(results, names, strict=True)):
        style = look(index)
        title, values = _per_language(result)
        where = np.arange(len(languages)) + (index - (len(results) - 1) / 2) * height
        if few:
            axes.barh(
                where, values, height, color=style.color, hatch=style.hatch, edgecolor="white", label=name
            )
        else:
            axes.plot(values, where, linestyle="", color=style.color, marker=style.marker, markersize=3)
    axes.set_yticks(
        np.arange(len(languages)), [f"{LANGUAGES[c].name} ({c})" if c in LANGUAGES else c for c in languages]
    )
    axes.grid(visible=not few, axis="y")
    axes.set_ylim(len(languages) - 0.5, -0.5)
    axes.set_xlabel(title)


def _per_language(result: UnitResult) -> tuple[str, np.ndarray]:
    """Label and length of the bars."""
    frame = result.by_language()
    if isinstance(result, HeadsResult):
        return (
            f"mean overlap of the language's top {result.default_k} heads with other languages'",
            frame["shared"].to_numpy(),
        )
    return "neurons above 0.05 nats most informative about the language", frame["specialized"].to_numpy()
