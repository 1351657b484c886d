"""What people look at: ``figures.plot(result)`` draws any result or comparison, without opening a model."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analyses.changes import Changes
    from analyses.comparison import Comparison
    from interp.results import Result

__all__ = ["plot"]

_BY_KIND = {
    "specialization": "figures.specialization.plot_specialization",
    "heads": "figures.specialization.plot_specialization",
    "behavior": "figures.behavior.plot_behavior",
    "generation": "figures.behavior.plot_behavior",
    "patching": "figures.patching.plot_patching",
    "lens": "figures.lens.plot_lens",
    "attribution": "figures.attribution.plot_attribution",
    "routing": "figures.routing.plot_routing",
    "ablation": "figures.ablation.plot_ablation",
    "probe": "figures.probes.plot_probes",
    "alignment": "figures.alignment.plot_alignment",
}
"""Kind of result to the function that draws one or several of it, given their names."""


def plot(shown: Result | Sequence[Result] | Comparison | Changes, names: Sequence[str] = ()) -> Figure:
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
    from figures.lens_changes import plot_lens_changes
    from interp.results import Result

    if isinstance(shown, Comparison):
        return plot_comparison(shown)
    if isinstance(shown, Changes):
        return plot_lens_changes(shown) if shown.kind == "lens" else plot_changes(shown)
    results = [shown] if isinstance(shown, Result) else list(shown)
    kinds = {r.kind if isinstance(r, Result) else "" for r in results}
    if len(kinds) != 1 or not kinds <= _BY_KIND.keys():
        raise TypeError(
            f"no figure for {type(shown).__name__}; give a result, a list of results or a Comparison"
        )
    module, _, name = _BY_KIND[kinds.pop()].rpartition(".")
    draw = getattr(importlib.import_module(module), name)
    figure: Figure = draw(results, names or [r.provenance.checkpoint for r in results])
    return figure
