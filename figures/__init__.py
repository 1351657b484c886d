"""What people look at: ``figures.plot(result)`` draws any result or comparison, without opening a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analyses.changes import Changes
    from analyses.comparison import Comparison
    from interp.results import UnitResult

__all__ = ["plot"]


def plot(
    shown: UnitResult | Sequence[UnitResult] | Comparison | Changes, names: Sequence[str] = ()
) -> Figure:
    """Draw a result, several results of one kind, or a comparison; the kind of figure follows from the type.

    Args:
        shown: What to draw.
        names: What to call each result; by default its checkpoint.

    Raises:
        TypeError: There is no figure for this type.
    """
    from analyses.changes import Changes
    from analyses.comparison import Comparison
    from figures.changes import plot_changes
    from figures.comparison import plot_comparison
    from figures.specialization import plot_specialization
    from interp.results import UnitResult

    if isinstance(shown, Comparison):
        return plot_comparison(shown)
    if isinstance(shown, Changes):
        return plot_changes(shown)
    results = [shown] if isinstance(shown, UnitResult) else list(shown)
    if not results or not all(isinstance(r, UnitResult) for r in results):
        raise TypeError(
            f"no figure for {type(shown).__name__}; give a result, a list of results or a Comparison"
        )
    return plot_specialization(results, names or [r.provenance.checkpoint for r in results])
