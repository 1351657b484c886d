"""Everything that is wrong with a file of facts, with row numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.data.characters import visible
from interp.data.files import LANGUAGES_KEY, read_rows
from interp.data.languages import LANGUAGES, parse_language, register_language
from interp.data.schema import row_problems
from interp.errors import DataError

SHOWN = 20
"""How many violations an error message lists."""


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong.

    Attributes:
        row: Row of the file, from 1.
        fact_id: The row's fact id, or empty when it has none.
        message: What is there and what is expected.
        fatal: Whether `load_facts` refuses the file for it. A fact that lacks a language can be loaded,
            because the error comes when that language is asked for.
    """

    row: int
    fact_id: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        name = f" ({visible(self.fact_id, 60)})" if self.fact_id else ""
        return f"row {self.row}{name}: {self.message}"


@dataclass(frozen=True)
class FactCheck:
    """The outcome of a check.

    Attributes:
        path: The file.
        n_rows: Rows that are not blank.
        n_facts: Rows that nothing is wrong with.
        languages: Known languages that occur.
        violations: Everything that is wrong, by row.
    """

    path: str
    n_rows: int
    n_facts: int
    languages: tuple[str, ...]
    violations: tuple[Violation, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.violations

    def summary(self, limit: int | None = None) -> str:
        """Return the counts and the violations, the first ``limit`` of them."""
        rows = len({violation.row for violation in self.violations})
        verdict = f"{len(self.violations)} violations in {rows} rows" if self.violations else "no violation"
        lines = [
            f"{visible(self.path)}: {self.n_rows} rows, {self.n_facts} without fault, "
            f"languages {' '.join(self.languages) or 'none'}; {verdict}"
        ]
        lines += [f"  {violation}" for violation in self.violations[:limit]]
        hidden = len(self.violations) - len(lines) + 1
        return "\n".join([*lines, f"  and {hidden} more"] if hidden else lines)

    def __repr__(self) -> str:
        return self.summary(SHOWN)


def check_facts(path: str | Path) -> FactCheck:
    """Check a file of facts against the form in `interp.data.schema`, and its rows against each other.

    Languages that the file describes are known from then on.

    Raises:
        DataError: There is no such file, or it is neither JSON lines nor Parquet.
    """
    return _check(path, list(read_rows(path)))


def checked_rows(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a file that nothing fatal is wrong with.

    Raises:
        DataError: Something is; the message lists the first `SHOWN` violations.
    """
    rows = list(read_rows(path))
    check = _check(path, rows)
    fatal = [violation for violation in check.violations if violation.fatal]
    if fatal:
        listed = "".join(f"\n  {violation}" for violation in fatal[:SHOWN])
        more = f"\n  and {len(fatal) - SHOWN} more; check_facts lists all" if len(fatal) > SHOWN else ""
        raise DataError(f"{visible(path)} has {len(fatal)} violations in {check.n_rows} rows:{listed}{more}")
    if not check.n_rows:
        raise DataError(f"{visible(path)} has no facts.")
    return [row for _, row in rows if not _describes_languages(row)]  # type: ignore[misc]


def _check(path: str | Path, rows: list[tuple[int, object]]) -> FactCheck:
    violations: list[Violation] = []
    if rows and _describes_languages(rows[0][1]):
        violations += _described(*rows[0], str(path))
        rows = rows[1:]
    for number, row in rows:
        problems = [f"not readable: {row}"] if isinstance(row, ValueError) else row_problems(row)
        violations += [Violation(number, _fact_id(row), problem) for problem in problems]
    facts = [(number, row) for number, row in rows if isinstance(row, dict)]
    violations += [*_repeated_ids(facts), *_shared_between_splits(facts), *_missing_languages(facts)]
    violations.sort(key=lambda violation: violation.row)
    return FactCheck(
        path=str(path),
        n_rows=len(rows),
        n_facts=len({number for number, _ in rows} - {violation.row for violation in violations}),
        languages=tuple(code for code in LANGUAGES if any(code in _wording(row) for _, row in facts)),
        violations=tuple(violations),
    )


def _describes_languages(row: object) -> bool:
    return isinstance(row, dict) and set(row) == {LANGUAGES_KEY}


def _described(number: int, row: Any, path: str) -> Iterator[Violation]:
    """Make the languages known that a row describes; yield what is wrong with it."""
    tables = row[LANGUAGES_KEY]
    if not isinstance(tables, list):
        yield Violation(number, "", f"{LANGUAGES_KEY}: expected a list of objects")
        return
    for position, table in enumerate(tables):
        where = f"{LANGUAGES_KEY}[{position}] of {path}"
        try:
            register_language(parse_language(table, where), where)
        except DataError as error:
            yield Violation(number, "", str(error))


def _repeated_ids(facts: list[tuple[int, dict[str, Any]]]) -> Iterator[Violation]:
    first: dict[str, int] = {}
    for number, row in facts:
        fact_id = _fact_id(row)
        if fact_id and first.setdefault(fact_id, number) != number:
            yield Violation(number, fact_id, f"fact_id is also that of row {first[fact_id]}")


def _shared_between_splits(facts: list[tuple[int, dict[str, Any]]]) -> Iterator[Violation]:
    """Find facts whose group, or whose relation and subject, also occur in another split."""
    for keys, what in ((("relation", "subject_id"), "relation and subject"), (("group",), "group")):
        first: dict[tuple[Any, ...], tuple[str, int]] = {}
        for number, row in facts:
            key, split = tuple(row.get(name) for name in keys), row.get("split")
            if not isinstance(split, str) or not all(isinstance(part, str) and part for part in key):
                continue
            other, where = first.setdefault(key, (split, number))
            if other != split:
                message = (
                    f"the {what} is in split '{visible(split, 40)}' here and in '{visible(other, 40)}' in "
                    f"row {where}"
                )
                yield Violation(number, _fact_id(row), message)


def _missing_languages(facts: list[tuple[int, dict[str, Any]]]) -> Iterator[Violation]:
    counts = Counter(code for _, row in facts for code in _wording(row) if code in LANGUAGES)
    lacking = defaultdict(list)
    for number, row in facts:
        for code in counts:
            if _wording(row) and code not in _wording(row):
                lacking[number, _fact_id(row)].append(code)
    for (number, fact_id), codes in lacking.items():
        having = ", ".join(f"'{code}' ({counts[code]} facts have it)" for code in codes)
        yield Violation(number, fact_id, f"lacks a language of other facts: {having}", fatal=False)


def _wording(row: Any) -> dict[str, Any]:
    wording = row.get("wording")
    return wording if isinstance(wording, dict) else {}


def _fact_id(row: Any) -> str:
    fact_id = row.get("fact_id") if isinstance(row, dict) else None
    return fact_id if isinstance(fact_id, str) else ""
