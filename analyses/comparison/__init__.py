"""Compare two results of one kind: change with interval, and what weakens it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analyses.comparison.base import Comparison
from analyses.comparison.facts import FactComparison, compare_facts
from analyses.comparison.survival import Survival, survival
from analyses.comparison.units import UnitComparison, compare_units
from interp.errors import ResultError
from interp.results.base import FactResult, Result
from interp.results.units import UnitResult

__all__ = ["Comparison", "FactComparison", "Survival", "UnitComparison", "compare", "survival"]


def compare(before: Result, after: Result, *, names: Sequence[str] | None = None, **view: Any) -> Comparison:
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
