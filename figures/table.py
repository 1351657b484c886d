"""Tables for people: in a terminal of any width or a pipe, without ever losing a digit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table", "estimate", "number", "print_tables", "rows_of"]

_GAP = 3  # columns that a border and its padding take
_MISSING = "-"


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: What it shows.
        header: Of the columns.
        rows: Cells; an empty row is a line between sections.
        note: What abbreviations mean and what was counted, in words; printed above.
        keys: How many of the first columns name a row; they stand in every part of a table that is cut.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    keys: int = 1


def number(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A number with fixed digits, or two significant ones where it is smaller; a dash for NaN."""
    if value is None or np.isnan(value):
        return _MISSING
    form = ".2g" if 0 < abs(value) < 10.0 ** (1 - digits) else f".{digits}f"
    return f"{value:{'+' if signed else ''}{form}}"


def estimate(value: float, low: float, high: float, digits: int = 3, *, signed: bool = False) -> str:
    """A number with its interval, such as ``0.412 [0.380, 0.444]``; without one where there is none."""
    shown = number(value, digits, signed=signed)
    if shown == _MISSING or np.isnan(low) or np.isnan(high):
        return shown
    return f"{shown} [{number(low, digits, signed=signed)}, {number(high, digits, signed=signed)}]"


def rows_of(
    frame: pd.DataFrame, columns: Sequence[str] = (), digits: int = 3, signed: Iterable[str] = ()
) -> tuple[tuple[str, ...], ...]:
    """Cells of a frame's columns: whole numbers with separators, others with fixed digits.

    Args:
        frame: Values.
        columns: Which; all by default.
        digits: After the point.
        signed: Columns whose numbers carry their sign.
    """
    shown, with_sign = list(columns) or list(frame.columns), set(signed)
    return tuple(
        tuple(_cell(value, digits, name in with_sign) for name, value in zip(shown, row, strict=True))
        for row in frame[shown].itertuples(index=False, name=None)
    )


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print tables; one that is wider than the terminal in parts, each with the first column."""
    for table in tables:
        console.print()
        if table.note:
            console.print(Text(table.note, style="dim"), soft_wrap=not console.is_terminal)
        for part in _parts(table, console.width):
            console.print(Text(part.title, style="italic"), soft_wrap=True)
            console.print(_drawn(part))


def _cell(value: Any, digits: int, signed: bool) -> str:
    if isinstance(value, (bool, np.bool_, str)):
        return str(value)
    if isinstance(value, (int, np.integer)):
        return f"{value:+,}" if signed else f"{value:,}"
    if isinstance(value, (float, np.floating)) or value is None:
        return number(np.nan if value is None else float(value), digits, signed=signed)
    return str(value)


def _widths(table: Table) -> list[int]:
    columns = zip(table.header, *(row for row in table.rows if row), strict=True)
    return [max(len(line) for cell in column for line in cell.split("\n")) + _GAP for column in columns]


def _parts(table: Table, width: int) -> list[Table]:
    """The table, cut between columns so that each part fits; each has the columns that name a row."""
    widths, keys = _widths(table), range(table.keys)
    room = width - sum(widths[: table.keys]) - 1
    parts: list[list[int]] = [[]]
    for column in range(table.keys, len(widths)):
        if parts[-1] and sum(widths[i] for i in [*parts[-1], column]) > room:
            parts.append([])
        parts[-1].append(column)
    if len(parts) == 1:
        return [table]
    return [
        replace(
            table,
            title=f"{table.title} ({number} of {len(parts)})",
            header=tuple(table.header[i] for i in (*keys, *columns)),
            rows=tuple(tuple(row[i] for i in (*keys, *columns)) if row else () for row in table.rows),
        )
        for number, columns in enumerate(parts, 1)
    ]


def _drawn(table: Table) -> RichTable:
    drawn = RichTable()
    for place, (header, width) in enumerate(zip(table.header, _widths(table), strict=True)):
        if place == 0:  # names may take several lines where a terminal is narrow, numbers never
            drawn.add_column(Text(header), overflow="fold")
        else:
            drawn.add_column(Text(header), justify="right", min_width=width - _GAP, no_wrap=True)
    for row in table.rows:
        if row:
            drawn.add_row(*(Text(cell) for cell in row))
        else:
            drawn.add_section()
    return drawn
