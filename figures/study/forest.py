"""The forest plot of a study: every headline's change in every member, with interval and noise floor."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from figures.style import look, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analyses.study.claims import Claim

__all__ = ["plot_forest"]

_WIDTH, _ROW = 6.75, 0.24  # inches


def plot_forest(claims: Sequence[Claim]) -> Figure:
    """Changes of all headlines, a panel each, since their units differ; filled where the claim is supported.

    Thick line: 95 % interval over facts. Thin line: over seeds. Gray band: noise floor.
    """
    panels = list(
        dict.fromkeys((claim.effect.measure, claim.effect.part, claim.effect.quantity) for claim in claims)
    )
    members = list(dict.fromkeys(claim.effect.member for claim in claims))
    height = len(panels) * (0.75 + _ROW * len(members)) + 0.5
    with new_figure(_WIDTH, height) as figure:
        for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
            shown = [c for c in claims if (c.effect.measure, c.effect.part, c.effect.quantity) == panel]
            _panel(axes, shown, members)
            axes.set_title(
                textwrap.shorten(f"{panel[0]}: {shown[0].effect.headline}", 100), loc="left", fontsize=8
            )
        figure.supxlabel(
            "change from the reference; filled: supported; thin line: over seeds; gray: noise floor",
            fontsize=8,
        )
        return figure


def _panel(axes: Any, claims: Sequence[Claim], members: Sequence[str]) -> None:
    floor = max(
        (c.effect.noise_floor for c in claims if c.effect.noise_floor == c.effect.noise_floor), default=0.0
    )
    if floor:
        axes.axvspan(-floor, floor, color="0.88", zorder=0)
    axes.axvline(0, color="0.4", linewidth=0.8)
    for claim in claims:
        effect, row = claim.effect, members.index(claim.effect.member)
        style, supported = look(row), claim.verdict == "supported"
        axes.plot([effect.seeds_low, effect.seeds_high], [row, row], color=style.color, linewidth=0.8)
        axes.plot(
            [effect.low, effect.high], [row, row], color=style.color, linewidth=2.2, solid_capstyle="butt"
        )
        axes.plot(
            effect.change,
            row,
            marker=style.marker,
            color=style.color,
            markerfacecolor=style.color if supported else "white",
            markersize=5,
        )
    axes.set_yticks(range(len(members)), members, fontsize=8)
    axes.set_ylim(len(members) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="y", visible=False)
