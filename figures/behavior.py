"""Accuracy per language of several checkpoints, with intervals, and how many languages a fact is right in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from figures.style import look, new_figure
from interp.results.answers import AnswersResult

__all__ = ["plot_behavior"]


def plot_behavior(results: Sequence[AnswersResult], names: Sequence[str], reading: str = "") -> Figure:
    """Left: accuracy per language with its 95 % interval. Right: share of facts right in k languages.

    Intervals are Wilson's over clusters of facts.
    """
    languages = results[0].languages
    with new_figure(7.5, 3.4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        places, width = np.arange(len(languages)), 0.7 / len(results)
        for i, (result, name) in enumerate(zip(results, names, strict=True)):
            style, table = look(i), result.by_language(reading)
            at = places + (i - (len(results) - 1) / 2) * width
            errors = np.maximum(0, np.stack([table.accuracy - table.low, table.high - table.accuracy]))
            left.errorbar(
                at, table.accuracy, errors, color=style.color, marker=style.marker, linestyle="", label=name
            )
            share = result.histogram_shares(reading)
            right.plot(share, color=style.color, linestyle=style.line, marker=style.marker)
        if results[0].chance:
            left.axhline(results[0].chance, color="0.4", linestyle=":", label="chance")
        left.set_xticks(places, languages)
        left.set(ylabel="accuracy", ylim=(0, 1.02))
        right.set(xlabel="languages in which a fact is right", ylabel="share of facts", ylim=(0, None))
        right.set_xticks(np.arange(len(languages) + 1)[:: max(1, len(languages) // 6)])
        figure.legend(loc="outside lower center", ncols=4)
        return figure
