"""Where the texts of a figure lie, as a printer would put them: what is cut off, what lies on what."""

from __future__ import annotations

import warnings

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

__all__ = ["SMALLEST", "misplaced"]

SMALLEST = 5.0
"""Points below which nobody reads a label."""
_SLACK = 1.5  # pixels


def misplaced(figure: Figure) -> list[str]:
    """What is wrong with the texts: outside the figure, on another text, or too small."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="constrained_layout not applied")
        canvas.draw()
    undrawn = _undrawn(figure)
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in undrawn]
    boxes = {text: text.get_window_extent() for text in texts}
    found = [f"{t.get_text()!r} is outside" for t, box in boxes.items() if _outside(box, figure.bbox)]
    found += [f"{t.get_text()!r} is {t.get_fontsize()} pt" for t in texts if t.get_fontsize() < SMALLEST]
    placed = list(boxes.items())
    for i, (one, box) in enumerate(placed):
        for other, there in placed[i + 1 :]:
            if _overlap(box, there):
                found.append(f"{one.get_text()!r} on {other.get_text()!r}")
    return found


def _undrawn(figure: Figure) -> set[Text]:
    """Labels of ticks beyond the limits of an axis, which are kept but not drawn."""
    labels = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            drawn = axis._update_ticks()
            beyond = [tick for tick in (*axis.majorTicks, *axis.minorTicks) if tick not in drawn]
            labels |= {label for tick in beyond for label in (tick.label1, tick.label2)}
            if not axes.get_visible() or not axis.get_visible():
                labels |= set(axis.findobj(Text))
    return labels


def _outside(box: Bbox, page: Bbox) -> bool:
    return (
        box.x0 < page.x0 - _SLACK
        or box.y0 < page.y0 - _SLACK
        or box.x1 > page.x1 + _SLACK
        or box.y1 > page.y1 + _SLACK
    )


def _overlap(one: Bbox, other: Bbox) -> bool:
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide > _SLACK and high > _SLACK
