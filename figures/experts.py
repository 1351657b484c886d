"""Routing to experts: divergence from English and what experts tell of the language, over layers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.specialization import overall_table
from figures.style import look, new_figure
from figures.table import Table, estimate, number
from interp.results.experts import ExpertsResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawings", "experts_data", "plot_experts", "tables"]

_INFORMATION = "information of language and expert (nats)"


def drawings(results: Sequence[ExpertsResult], names: Sequence[str]) -> list[Drawing]:
    """Curves over layers."""
    return [Drawing("", partial(plot_experts, results, names), experts_data(results, names))]


def tables(results: Sequence[ExpertsResult], names: Sequence[str]) -> list[Table]:
    """Divergence and information per layer, divergence of every language, and all layers with the floor."""
    each = [
        table(result, name)
        for result, name in zip(results, names, strict=True)
        for table in (_layers, _languages)
    ]
    title = "Information of language and expert, all layers (nats)"
    return [*each, overall_table(results, names, title)]


def plot_experts(results: Sequence[ExpertsResult], names: Sequence[str]) -> Figure:
    """Left: divergence from English per layer, dotted: its floor. Right: information. 95 % intervals."""
    with new_figure(9.5, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        data = experts_data(results, names)
        for axes, quantity in ((left, _divergence(results[0])), (right, _INFORMATION)):
            for index, name in enumerate(names):
                chosen = (data.quantity == quantity) & (data.checkpoint == name)
                _curve(axes, data[chosen], index, name)
            axes.axhline(0, color="0.4", linewidth=0.8)
            axes.set(xlabel="layer", ylabel=quantity)
        layers = results[0].layers
        for axes in (left, right):
            axes.set_xticks(layers[:: max(1, len(layers) // 8)])
        title = "with 95 % interval over blocks of facts; dotted: halves of one language, shuffled languages"
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3, title=title)
        return figure


def experts_data(results: Sequence[ExpertsResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_experts`, tidy: quantity, checkpoint, layer, value, low, high, floor."""
    import pandas as pd

    parts = []
    for result, name in zip(results, names, strict=True):
        rows = result.summary().iloc[:-1]
        permuted = result.noise_floor.permuted.max(axis=0)
        divergence = (rows.divergence, rows.divergence_low, rows.divergence_high, rows.floor)
        for quantity, (value, low, high, floor) in {
            _divergence(results[0]): divergence,
            _INFORMATION: (rows["mean"], rows.low, rows.high, permuted),
        }.items():
            columns = {"layer": result.layers, "value": value, "low": low, "high": high, "floor": floor}
            parts.append(pd.DataFrame({"quantity": quantity, "checkpoint": name, **columns}))
    return pd.concat(parts, ignore_index=True)


def _divergence(result: ExpertsResult) -> str:
    return f"divergence from {result.reference} (0 to 1)"


def _curve(axes: Axes, data: pd.DataFrame, index: int, name: str) -> None:
    style = look(index)
    axes.fill_between(data.layer, data.low, data.high, color=style.color, alpha=0.2, linewidth=0)
    axes.plot(
        data.layer,
        data.value,
        color=style.color,
        marker=style.marker,
        linestyle=style.line,
        markersize=4,
        label=name,
    )
    axes.plot(data.layer, data.floor, color=style.color, linestyle=":", linewidth=1)


def _layers(result: ExpertsResult, name: str) -> Table:
    rows = tuple(
        (
            row.layer,
            estimate(row.divergence, row.divergence_low, row.divergence_high, 4),
            number(row.floor, 4),
            estimate(row.mean, row.low, row.high, 4),
        )
        for row in result.summary().itertuples()
    )
    return Table(
        f"{name}: routing per layer, {result.top_k} of {result.chosen.shape[-1]} experts per token",
        ("layer", f"divergence from {result.reference} [95 %]", "floor", "information, nats [95 %]"),
        rows,
        "divergence: entropy-normalized Jensen-Shannon, mean over languages; floor: that of two halves of "
        "one language's text; information: of language and chosen expert. "
        f"95 % intervals over {result.n_blocks} blocks of facts.",
    )


def _languages(result: ExpertsResult, name: str) -> Table:
    rows = tuple(
        (
            row.language,
            f"{row.prompts:,}",
            f"{row.tokens:,}",
            f"{row.experts:,}",
            estimate(row.divergence, row.low, row.high, 4),
        )
        for row in result.by_language().itertuples()
    )
    return Table(
        f"{name}: routing per language",
        ("language", "prompts", "tokens", "own experts", f"divergence from {result.reference} [95 %]"),
        rows,
        "own experts: of all layers, those chosen for a share of its tokens that is larger by more than 0.1 "
        "than in the other languages; divergence: mean over layers.",
    )
