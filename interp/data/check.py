"""Everything that is wrong with a file of facts, with row numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.data.check_between import RowsTogether
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
        row: Row of the file, from 1; 0 for the file as a whole.
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
        return f"row {self.row}{name}: {self.message}" if self.row else self.message


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
        rows = len({violation.row for violation in self.violations} - {0})
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


class FactChecker:
    """Looks at the rows of a facts file one by one, and keeps no more of them than it takes to compare them.

    Args:
        path: The file, for messages.
        texts: Whether to look at texts, beside identifiers and languages.
    """

    def __init__(self, path: str | Path, texts: bool = True):
        self._path, self._texts = path, texts
        self._n_rows = 0
        self._header = 0
        self._violations: list[Violation] = []
        self._together = RowsTogether()

    def add(self, number: int, row: object) -> bool:
        """Look at one row; return whether it is a fact that is sound in itself."""
        if not self._n_rows and not self._header and isinstance(row, dict) and set(row) == {LANGUAGES_KEY}:
            self._header = number or -1
            self._violations += _described(number, row[LANGUAGES_KEY], str(self._path))
            return False
        self._n_rows += 1
        problems = (
            [f"not readable: {row}"] if isinstance(row, ValueError) else [*row_problems(row, self._texts)]
        )
        if isinstance(row, dict):
            self._together.add(number, row, self._texts)
        fact_id = row.get("fact_id") if problems and isinstance(row, dict) else None
        named = fact_id if isinstance(fact_id, str) else ""
        self._violations += [Violation(number, named, problem) for problem in problems]
        return not problems

    def outcome(self) -> FactCheck:
        """Return everything that is wrong with the rows, alone and beside each other."""
        violations = [*self._violations]
        for number, fact_id, message, fatal in self._together.problems():
            violations.append(Violation(number, fact_id, message, fatal))
        if not self._n_rows:
            violations.append(Violation(0, "", "the file has no facts"))
        violations.sort(key=lambda violation: violation.row)
        at_fault = {violation.row for violation in violations} - {0, self._header}
        return FactCheck(
            path=str(self._path),
            n_rows=self._n_rows,
            n_facts=self._n_rows - len(at_fault),
            languages=tuple(code for code in LANGUAGES if code in self._together.languages),
            violations=tuple(violations),
        )


def _described(number: int, tables: Any, path: str) -> Iterator[Violation]:
    """Make the languages known that a first row describes; yield what is wrong with it."""
    if not isinstance(tables, list):
        yield Violation(number, "", f"{LANGUAGES_KEY}: expected a list of objects")
        return
    for position, table in enumerate(tables):
        where = f"{LANGUAGES_KEY}[{position}] of {path}"
        try:
            register_language(parse_language(table, where), where)
        except DataError as error:
            yield Violation(number, "", str(error))


def check_facts(path: str | Path) -> FactCheck:
    """Check a file of facts against the form in `interp.data.schema`, and its rows against each other.

    A command that reads the file refuses it for the same, but that a language may be missing that is not
    asked for. Languages that the file describes are known from then on.

    Raises:
        DataError: There is no such file, or it is neither JSON lines nor Parquet.
    """
    checker = FactChecker(path)
    for number, row in read_rows(path):
        checker.add(number, row)
    return checker.outcome()


def refuse_violations(check: FactCheck) -> None:
    """Raise if anything fatal is wrong.

    Raises:
        DataError: Something is; the message lists the first `SHOWN` violations.
    """
    fatal = [violation for violation in check.violations if violation.fatal]
    if not check.n_rows and not any(violation.row for violation in fatal):
        raise DataError(f"{visible(check.path)} has no facts.")
    if fatal:
        listed = "".join(f"\n  {violation}" for violation in fatal[:SHOWN])
        more = f"\n  and {len(fatal) - SHOWN} more; check_facts lists all" if len(fatal) > SHOWN else ""
        raise DataError(
            f"{visible(check.path)} has {len(fatal)} violations in {check.n_rows} rows:{listed}{more}"
        )
