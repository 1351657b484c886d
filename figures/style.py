"""How figures look and are saved: embedded fonts, no missing glyph, never color alone, with their data."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from figures.fitting import fit_texts
from interp.errors import ConfigError, ResultError
from interp.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MOST_CHECKPOINTS",
    "Look",
    "PrintFigure",
    "look",
    "new_figure",
    "save_figure",
    "sized",
    "width_for",
    "write_table",
]

_NARROWEST, _WIDEST = 2.5, 40.0  # inches
_FORMATS: dict[str, dict[str, None]] = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}

MOST_CHECKPOINTS = 24
"""How many checkpoints one figure can tell apart."""

# Okabe & Ito's colors, distinguishable under the common color blindnesses; then darker and lighter
_COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F"),
    *("#003F66", "#7A3600", "#005C43", "#7D3F62", "#856000", "#2B8C8C", "#4D4D4D", "#5E3C99"),
    *("#8FB4FF", "#F29A66", "#66C9A8", "#E3B1CD", "#F4CF70", "#A3D5F2", "#B3B3B3", "#9E7BD6"),
)
# all can be filled or empty; the last ones are stars (corners, 1, degrees) and a turned pentagon
_MARKERS: tuple[Any, ...] = (
    *("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "d", "h", "8", "H"),
    *(
        (4, 1, 0),
        (3, 1, 0),
        (6, 1, 0),
        (3, 1, 180),
        (5, 0, 180),
        (4, 1, 45),
        (8, 1, 0),
        (5, 1, 180),
        (3, 1, 90),
    ),
)
_DASHES = tuple((0, (dash, 2, *(1, 2) * dots)) for dots in (2, 3, 4, 5) for dash in (3, 5, 7, 9, 12))
_LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 3)), *_DASHES)  # ":" is of controls and chance
_HATCHES = (
    *("", "///", "...", "xxx", "\\\\\\", "ooo", "+++", "---", "|||", "***", "OO", "//.."),
    *("\\\\..", "//oo", "\\\\oo", "--..", "||..", "xx..", "++..", "--oo", "||oo", "//||", "//--", "\\\\||"),
)

_SETTINGS: Any = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "legend.handlelength": 3.0,
    "text.parse_math": False,  # a name with dollar signs is a name
    "savefig.dpi": 200,
    "svg.hashsalt": "interp",  # the same figure is the same file
}


class Look(NamedTuple):
    """How the i-th checkpoint looks in every figure: color, and signs that survive a gray printer."""

    color: str
    marker: Any  # a letter, or corners, 1 and degrees of a star
    line: Any  # a name, or an offset and dashes
    hatch: str


def look(index: int) -> Look:
    """The look of the i-th checkpoint: no two share a color, marker, line or hatch.

    Raises:
        ConfigError: There are more than can be told apart.
    """
    if index >= MOST_CHECKPOINTS:
        raise ConfigError(
            f"A figure tells at most {MOST_CHECKPOINTS} checkpoints apart, and here are more; draw them in "
            "several figures."
        )
    return Look(_COLORS[index], _MARKERS[index], _LINES[index], _HATCHES[index])


class PrintFigure(Figure):
    """A figure in the house style, which a notebook shows without ``%matplotlib inline``."""

    def _repr_png_(self) -> bytes:
        with mpl.rc_context(_SETTINGS):
            return _render(self, "png", {})


_WIDTH: ContextVar[float | None] = ContextVar("width", default=None)


@contextmanager
def sized(width: float | None) -> Iterator[None]:
    """Draw the figures of a block at a width in inches, such as a journal's column; None: each at its own.

    Raises:
        ConfigError: Nothing is legible at this width.
    """
    if width is not None and not _NARROWEST <= width <= _WIDEST:
        raise ConfigError(
            f"width is {width} inches; {_NARROWEST} to {_WIDEST} are expected, such as 3.25 for one column "
            "or 6.75 for two."
        )
    before = _WIDTH.set(width)
    try:
        yield
    finally:
        _WIDTH.reset(before)


def width_for(natural: float) -> float:
    """The width in inches that is asked for, or else the natural one."""
    return _WIDTH.get() or natural


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in the house style, in inches; independent of pyplot's global state; see `sized`."""
    with mpl.rc_context(_SETTINGS):
        figure = PrintFigure(figsize=(width_for(width), height), layout="constrained")
        yield figure
        fit_texts(figure)


def save_figure(figure: Figure, stem: Path, data: pd.DataFrame) -> list[Path]:
    """Write ``stem``.png, .pdf and .svg, the same bytes for the same figure, and its numbers as .csv.

    Raises:
        ResultError: A letter is missing from the font.
    """
    written = []
    with mpl.rc_context(_SETTINGS):
        for suffix, metadata in _FORMATS.items():
            written.append(stem.with_name(stem.name + suffix))
            write_atomically(written[-1], partial(_write, content=_render(figure, suffix[1:], metadata)))
    return [*written, write_table(data, stem.with_name(stem.name + ".csv"))]


def write_table(data: pd.DataFrame, path: Path) -> Path:
    """Write CSV that a spreadsheet reads as text and numbers, whole or not at all."""
    text = data.map(_plain_cell).to_csv(index=False, lineterminator="\n")
    write_atomically(path, partial(_write, content=text.encode()))
    return path


def _write(stream: IO[bytes], content: bytes) -> None:
    stream.write(content)


def _render(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph .* missing")
        try:
            figure.savefig(buffer, format=kind, metadata=metadata)
        except UserWarning as warning:
            raise ResultError(f"The figure needs a letter that its font lacks: {warning}") from None
    return buffer.getvalue()


def _plain_cell(value: object) -> object:
    """Keep a text cell from being read as a formula by a spreadsheet."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@" and value else value
