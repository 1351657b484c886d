"""Ablation: what each language loses without another's units, beyond random units, as a matrix per checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from figures.matrices import show_languages
from figures.style import new_figure
from interp.results.ablation import HARMS, AblationResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ablation_data", "plot_ablation"]

_SAID = {"loss": "nats per token", "accuracy": "accuracy"}


def plot_ablation(results: Sequence[AblationResult], names: Sequence[str]) -> Figure:
    """Harm beyond random units, a column per checkpoint: nats per token above, accuracy below, each on one scale.

    Rows are the language whose units were removed, columns the language that was asked. A dot: the cell's own
    95 % interval over clusters of facts leaves out 0, as one in 20 does by chance.
    """
    data, languages = ablation_data(results, names), results[0].languages
    n = len(languages)
    side = max(2.4, 0.9 + 0.2 * n)
    with new_figure(1.4 + side * len(results), 0.8 + side * len(HARMS)) as figure:
        grid = figure.subplots(len(HARMS), len(results), squeeze=False)
        for row, kind in zip(grid, HARMS, strict=True):
            shown = data[data.harm == kind]
            for axes, name in zip(row, names, strict=True):
                part = shown[shown.checkpoint == name]
                clear = ((part.low > 0) | (part.high < 0)).to_numpy().reshape(n, n)
                values = part.beyond_random.to_numpy().reshape(n, n)
                most = float(np.abs(shown.beyond_random).max())
                image = show_languages(axes, values, clear, languages, most)
                axes.set_title(name, loc="left", fontsize=9)
            row[0].set_ylabel("units of")
            figure.colorbar(image, ax=row, label=f"{_SAID[kind]} lost beyond random units", fraction=0.05)
        for axes in grid[-1]:
            axes.set_xlabel("asked in")
        first = results[0]
        removed = f"{first.removed.shape[-1]} {first.unit} per language set to {first.mode}"
        figure.suptitle(f"{removed}, {len(first.fact_ids)} facts", fontsize=10)
        return figure


def ablation_data(results: Sequence[AblationResult], names: Sequence[str]) -> pd.DataFrame:
    """The numbers of `plot_ablation`, tidy: checkpoint, then the columns of `AblationResult.to_frame`."""
    import pandas as pd

    tables = [result.to_frame().assign(checkpoint=name) for result, name in zip(results, names, strict=True)]
    found = pd.concat(tables, ignore_index=True)
    return found[["checkpoint", *(column for column in found if column != "checkpoint")]]
