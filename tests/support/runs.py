"""Runs of measures in tests."""

from __future__ import annotations

from typing import Any

from analyses.runner import Run

__all__ = ["comparisons", "only"]


def only(run: Run) -> list[Any]:
    """The results of a run with one part."""
    (results,) = run.results.values()
    return results


def comparisons(run: Run) -> list[Any]:
    """The comparisons of a run with one part."""
    (compared,) = run.comparisons.values()
    return compared
