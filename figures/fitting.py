"""Titles and labels on as many lines as their place needs, so that nothing is cut off."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure
from matplotlib.text import Text

__all__ = ["fit_texts"]

_ROOM = 0.97  # share of a place that a line of text may take


def fit_texts(figure: Figure) -> None:
    """Break titles and labels that are longer than the figure, or than their axes."""
    width, height = figure.bbox.width, figure.bbox.height
    for name in ("_suptitle", "_supxlabel"):
        _fit(getattr(figure, name), width)
    _fit(getattr(figure, "_supylabel"), height)  # noqa: B009
    for axes in figure.axes:
        place = axes.get_position()
        wide, high = place.width * width, place.height * height
        for text in (axes.title, getattr(axes, "_left_title")):  # noqa: B009
            _fit(text, wide)
        _fit(axes.xaxis.label, 0.8 * wide)  # tick labels at the side may take room
        _fit(axes.yaxis.label, high)


def _fit(text: Text | None, room: float) -> None:
    """Break a text that is longer than its room, in pixels, between words."""
    if text is None or not text.get_text():
        return
    box = text.get_window_extent()
    longest = max(map(len, text.get_text().split("\n")))
    length = max(box.width, box.height)
    if length > _ROOM * room:
        most = max(8, int(longest * _ROOM * room / length))
        lines = text.get_text().split("\n")
        text.set_text("\n".join(textwrap.fill(line, most, break_long_words=False) for line in lines))
