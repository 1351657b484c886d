"""Tables as a terminal shows them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console

import figures
from figures.table import estimate, print_tables

__all__ = ["interval", "printed"]


def printed(shown: Any, names: Sequence[str] = (), *, width: int = 250, **view: Any) -> str:
    """What is printed of results or of a comparison."""
    file = io.StringIO()
    print_tables(figures.tables(shown, names, **view), Console(file=file, width=width))
    return file.getvalue()


def interval(row: Any, value: str = "mean", **form: Any) -> str:
    """A row's value with its interval, as tables show it."""
    return estimate(row[value], row["low"], row["high"], **form)
