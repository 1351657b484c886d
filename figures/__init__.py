"""What people look at: ``figures.plot(result)`` draws any result or comparison, without opening a model.

A module ``figures.x`` of a measure ``x`` offers ``drawings(results, names, **view)``, the first of which is
what `plot` shows, and ``tables(results, names, **view)`` for the terminal.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interp.registry import measure_of_kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analyses.comparison import Comparison
    from figures.drawing import Drawing
    from figures.table import Table
    from interp.results import Result

__all__ = ["drawings", "plot", "tables"]


def plot(
    shown: Result | Sequence[Result] | Comparison,
    names: Sequence[str] = (),
    *,
    width: float | None = None,
    **view: Any,
) -> Figure:
    """Draw a result, several results of one kind, or a comparison; the kind of figure follows from the type.

    Args:
        shown: What to draw.
        names: What to call each result; by default its checkpoint.
        width: In inches, such as 3.25 or 6.75 for one or two columns of a paper; by default what it needs.
        view: How results are read, such as ``scoring`` or ``metric``.

    Returns:
        A matplotlib figure that shows itself in a notebook.

    Raises:
        TypeError: There is no figure for this type.
        ConfigError: The width is out of range, or there are more checkpoints than can be told apart.
    """
    from figures.style import sized

    with sized(width):
        return drawings(shown, names, **view)[0].draw()


def drawings(
    shown: Result | Sequence[Result] | Comparison, names: Sequence[str] = (), **view: Any
) -> list[Drawing]:
    """Every figure of results or of a comparison, with its data; see `plot`."""
    from analyses.comparison import Comparison

    if isinstance(shown, Comparison):
        from figures.comparison import comparison_drawings

        return comparison_drawings(shown)
    results = _results(shown)
    drawn: list[Drawing] = _module(results).drawings(results, _names(results, names), **view)
    return drawn


def tables(
    shown: Result | Sequence[Result] | Comparison, names: Sequence[str] = (), **view: Any
) -> list[Table]:
    """The tables that a terminal shows of results or of a comparison; see `plot`."""
    from analyses.comparison import Comparison

    if isinstance(shown, Comparison):
        from figures.comparison import comparison_tables

        return comparison_tables(shown)
    results = _results(shown)
    made: list[Table] = _module(results).tables(results, _names(results, names), **view)
    return made


def _results(shown: Any) -> list[Result]:
    from interp.results import Result

    results = [shown] if isinstance(shown, Result) else list(shown)
    kinds = {result.kind if isinstance(result, Result) else "" for result in results}
    if len(kinds) != 1 or measure_of_kind(kinds.copy().pop()) is None:
        raise TypeError(
            f"no figure for {type(shown).__name__}; give a result, a list of results of one kind, or a "
            "comparison"
        )
    return results


def _names(results: Sequence[Result], names: Sequence[str]) -> list[str]:
    return list(names) or [result.provenance.checkpoint for result in results]


def _module(results: Sequence[Result]) -> Any:
    measure = measure_of_kind(results[0].kind)
    assert measure is not None  # see _results
    return importlib.import_module(f"figures.{measure.name}")
