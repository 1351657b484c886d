"""Compare two results of one kind: change with interval, and what weakens it, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analyses.comparison.base import Change, Comparison, correct_together
from analyses.comparison.facts import FactComparison, compare_facts
from analyses.comparison.survival import Survival, survival
from analyses.comparison.units import UnitComparison, compare_units
from interp.errors import ResultError
from interp.results.base import FactResult, Result
from interp.results.units import UnitResult

__all__ = [
    "Change",
    "Comparison",
    "FactComparison",
    "Survival",
    "UnitComparison",
    "compare",
    "compare_all",
    "survival",
]


def compare(before: Result, after: Result, *, names: Sequence[str] | None = None, **view: Any) -> Change:
    """Compare two results of one kind and one question.

    Args:
        before: Of the first checkpoint.
        after: Of the second.
        names: What to call them; by default their checkpoints.
        view: How the results are read, such as ``scoring``, and the ``cluster`` that intervals resample; see
            `interp.results.FactResult.clusterings`.

    Raises:
        ResultError: They are of different kinds, prompts, languages, settings or model shapes; names both.
    """
    called = tuple(names or (before.provenance.checkpoint, after.provenance.checkpoint))
    pair = (called[0], called[1])
    if before.kind == after.kind and isinstance(before, UnitResult) and isinstance(after, UnitResult):
        return compare_units(before, after, names=pair)
    if before.kind == after.kind and isinstance(before, FactResult) and isinstance(after, FactResult):
        return compare_facts(before, after, names=pair, **view)
    raise ResultError(f"A result of kind '{before.kind}' cannot be compared with one of kind '{after.kind}'.")


def compare_all(
    results: Mapping[str, Sequence[Result]], names: Sequence[str], **view: Any
) -> dict[str, list[Change]]:
    """Compare each later checkpoint with the first, and correct the p of all comparisons together.

    Args:
        results: Of each checkpoint, by what they are of (the suffix of their files).
        names: Of the checkpoints.
        view: As of `compare`.

    Raises:
        ResultError: As of `compare`.
    """
    found = {
        of: [
            compare(measured[0], later, names=(names[0], name), **view)
            for name, later in zip(names[1:], measured[1:], strict=True)
        ]
        for of, measured in results.items()
    }
    parts = f"; {', '.join(results)}" if len(results) > 1 else ""
    every = [comparison for comparisons in found.values() for comparison in comparisons]
    corrected = iter(correct_together(every, f"{', '.join(names[1:])} against {names[0]}{parts}"))
    return {of: [next(corrected) for _ in comparisons] for of, comparisons in found.items()}
