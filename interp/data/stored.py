"""Rows of a facts file: a small file is held whole; of a large one, texts are fetched when they are used."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.data.check import SHOWN, FactCheck, FactChecker, refuse_violations
from interp.data.files import open_rows
from interp.data.schema import row_problems
from interp.data.wording import StoredWording, Wording, worded
from interp.errors import DataError

__all__ = ["stored_rows"]

HELD = 8_000_000
"""Bytes; a file of up to this size is held in memory."""


def stored_rows(path: Path, sample: bool = False) -> tuple[list[dict[str, Any]], FactCheck]:
    """Return the rows of a facts file, with texts or the means to fetch them, and the check that they passed.

    Args:
        path: The file.
        sample: Whether few of the rows will be used; then the texts of a large file are checked as they are
            fetched.

    Raises:
        DataError: The file is missing or a row breaks the form; the message has the first 20 row numbers. Or,
            when a text of a large file is used, the file has changed or the text is malformed.
    """
    file, stamp = open_rows(path), _stamp(path)
    large = stamp[0] > HELD
    checked = not (large and sample)
    checker = FactChecker(path, texts=checked)
    fetch = partial(_fetch, path, file.row_at, stamp, checked) if large else None
    rows = []
    for number, place, row in file.placed():
        if checker.add(number, row) and isinstance(row, dict):
            rows.append(_held(row, fetch, place))
    check = checker.outcome()
    refuse_violations(check)
    return rows, check


def _held(
    row: dict[str, Any], fetch: Callable[[int], Mapping[str, Any]] | None, place: int
) -> dict[str, Any]:
    """What stays of a row: identifiers, once each, and texts or where they are."""
    shared = {key: sys.intern(row[key]) for key in ("relation", "object_id", "split")}
    wording: Mapping[str, Wording]
    if fetch is None:
        wording = {code: worded(texts) for code, texts in row["wording"].items()}
    else:
        wording = StoredWording(tuple(map(sys.intern, row["wording"])), fetch, place)
    return {**row, **shared, "option_ids": tuple(map(sys.intern, row["option_ids"])), "wording": wording}


def _fetch(
    path: Path, row_at: Callable[[int], object], stamp: tuple[int, int], checked: bool, place: int
) -> Mapping[str, Any]:
    row = row_at(place) if _stamp(path) == stamp else None
    if not isinstance(row, dict):
        raise DataError(
            f"{visible(path)} has changed since it was opened. "
            "Leave it as it is during a run, and start again."
        )
    problems = [] if checked else [*row_problems(row)]
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
        raise DataError(f"{visible(path)}, fact '{visible(row['fact_id'], 60)}':{listed}")
    return row["wording"]


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of the last change; zeros when it is gone."""
    try:
        there = os.stat(path)
    except OSError:
        return 0, 0
    return there.st_size, there.st_mtime_ns
