"""Rows of outside data with the place that each came from, and one refusal that names the bad ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interp.characters import visible
from interp.data.check import SHOWN
from interp.data.languages import LANGUAGES, as_languages
from interp.errors import DataError, nearest

__all__ = [
    "Configs",
    "Row",
    "known_languages",
    "listed",
    "refuse",
    "split_named",
    "text",
    "text_fault",
    "text_problems",
]

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation"}
_SPLITS |= {"dev": "validation", "test": "test"}
_PART = re.compile(rf"({'|'.join(_SPLITS)})(-\d+-of-\d+)?")


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        config: Configuration that it came from, often a language; empty where there is only one.
        split: ``train``, ``validation`` or ``test`` by the name of its file or part; empty where that does
            not say.
        number: From 1 in its file or part.
        values: Column to value.
        error: Why it cannot be read; then there are no values.
    """

    config: str
    split: str
    number: int
    values: Mapping[str, Any]
    error: str = ""

    @property
    def where(self) -> str:
        """Its place, for a message."""
        return " ".join([*filter(None, (self.config, self.split)), f"row {self.number}"])


Configs = dict[str, Callable[[], Iterator[Row]]]
"""Name of a configuration to what reads its rows, when it is called."""


def split_named(name: str) -> str:
    """Return the split that a part is named after, such as ``dev`` or ``test-00000-of-00001``; or ''."""
    part = _PART.fullmatch(name)
    return _SPLITS[part[1]] if part else ""


def known_languages(
    names: Collection[str], languages: str | Collection[str] | None, source: str
) -> tuple[tuple[str, ...], str]:
    """Return the languages to read of those that a source has.

    Args:
        names: Names of its folders, files or configurations.
        languages: The languages to read; all known ones when None.
        source: Its name, for messages.

    Returns:
        Language codes in the order of `LANGUAGES`, and a note of the other names.

    Raises:
        DataError: It lacks one of them, or has no known one.
    """
    present = [code for code in LANGUAGES if code in names]
    codes = present if languages is None else as_languages(languages)
    lacking = [code for code in codes if code not in present]
    if lacking or not present:
        what = f"lacks the language {', '.join(lacking)}" if lacking else "has no language that is known here"
        raise DataError(
            f"'{visible(source)}' {what}. Choose from: {visible(', '.join(sorted(names)) or 'nothing')}."
        )
    others = sorted(set(names) - set(present))
    return tuple(code for code in present if code in codes), listed("not read, no known language", others)


def refuse(source: str, problems: Iterable[tuple[str, str]], n_rows: int) -> None:
    """Raise if anything is wrong.

    Args:
        source: Name of the data.
        problems: Place and what is wrong there.
        n_rows: Rows that were looked at.

    Raises:
        DataError: There are problems, or there is no row; the first 20 problems are listed.
    """
    lines = [f"\n  {visible(where, 120)}: {message}" for where, message in problems]
    if lines:
        more = f"\n  and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        raise DataError(
            f"'{visible(source)}' has {len(lines)} violations in {n_rows} rows:{''.join(lines[:SHOWN])}{more}"
        )
    if not n_rows:
        raise DataError(f"'{visible(source)}' has no rows.")


def text(row: Mapping[str, Any], key: str) -> str:
    """Return a column's text, stripped; a number as its digits; empty if there is none."""
    value = row.get(key)
    return str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def text_problems(row: Mapping[str, Any], keys: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with columns that must hold text."""
    for key in keys:
        if row.get(key) is None:
            yield f"'{key}' is missing{nearest(key, row)}"
        elif fault := text_fault(text(row, key)):
            yield f"{key} {fault}"


def text_fault(value: str) -> str:
    """Return what is wrong with a text, or an empty string."""
    if not value:
        return "is empty"
    return "has half of a surrogate pair" if _SURROGATE.search(value) else ""


def listed(what: str, names: Collection[str]) -> str:
    """Return ``"3 what (first a, b, c)"``, or an empty string when there are none."""
    if not names:
        return ""
    shown = ", ".join(visible(name, 60) for name in list(names)[:3])
    return f"{len(names)} {what} ({'first ' if len(names) > 3 else ''}{shown})"
