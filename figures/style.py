"""How figures look and are saved: embedded fonts, no missing glyph, never color alone, with their data."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from interp.errors import ResultError
from interp.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Look", "look", "new_figure", "save_figure", "write_table"]

# Okabe & Ito's colors, distinguishable under the common color blindnesses
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", ":")
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo", "+++")

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
    "text.parse_math": False,  # a name with dollar signs is a name
    "savefig.dpi": 200,
}


class Look(NamedTuple):
    """How the i-th checkpoint looks in every figure: color, and two signs that survive a gray printer."""

    color: str
    marker: str
    line: str
    hatch: str


def look(index: int) -> Look:
    """The look of the i-th checkpoint."""
    pick = (_COLORS, _MARKERS, _LINES, _HATCHES)
    return Look(*(choices[index % len(choices)] for choices in pick))


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in the house style, in inches; independent of pyplot's global state."""
    with mpl.rc_context(_SETTINGS):
        yield Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, stem: Path, data: pd.DataFrame) -> list[Path]:
    """Write ``stem``.png and .pdf, and the numbers on its axes as .csv.

    Raises:
        ResultError: A letter is missing from the font.
    """
    written = []
    with mpl.rc_context(_SETTINGS):
        for suffix, metadata in ((".png", {}), (".pdf", {"CreationDate": None})):
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
