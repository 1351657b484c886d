"""Accuracy of the organism's family during training, by what was read and how the answer is spelled."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import look, new_figure

__all__ = ["plot_family"]

_COLUMNS = 3
_NARROWEST = (
    0.2  # range of the accuracy axis, so that noise in one panel does not look like a change in another
)


def plot_family(curves: pd.DataFrame) -> Figure:
    """Draw accuracy over steps, a panel per stratum; thin lines are seeds, thick ones their means.

    Args:
        curves: The rows of `analyses.family.family_curves`.
    """
    names = list(dict.fromkeys(curves.stratum))
    members = list(dict.fromkeys(curves.member))
    height = -(-len(names) // _COLUMNS)
    with new_figure(3 * _COLUMNS, 2.2 * height + 0.5) as figure:
        panels = list(figure.subplots(height, _COLUMNS, sharex=True, squeeze=False).flat)
        for axes, name in zip(panels, names, strict=False):
            here = curves[curves.stratum == name]
            for number, member in enumerate(members):
                style = look(number)
                runs = here[here.member == member]
                for seed in runs.seed.unique():
                    run = runs[runs.seed == seed]
                    axes.plot(run.step, run.accuracy, color=style.color, linewidth=0.5, alpha=0.6)
                mean = runs.drop_duplicates("step").sort_values("step")
                axes.plot(
                    mean.step,
                    mean["mean"],
                    color=style.color,
                    linestyle=style.line,
                    marker=style.marker,
                    markersize=3,
                    label=member,
                )
            axes.set_title(f"{name} (n {here.n.max()})", loc="left", fontsize=8)
            _widen(axes)
        for axes in panels[len(names) :]:
            axes.remove()
        for axes in panels[max(0, len(names) - _COLUMNS) : len(names)]:
            axes.set_xlabel("training step")
            axes.tick_params(labelbottom=True)
        figure.supylabel("accuracy of greedy answers")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return figure


def _widen(axes: Axes) -> None:
    """Show at least a fifth of the axis, within 0 to 1."""
    low, high = axes.get_ylim()
    missing = max(0.0, _NARROWEST - (high - low)) / 2
    low, high = low - missing, high + missing
    shift = max(0.0, -low) - max(0.0, high - 1.02)
    axes.set_ylim(low + shift, high + shift)
