"""Two checkpoints fact by fact: the change of every quantity, with paired intervals and Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from analyses.comparison.base import Comparison
from interp.errors import ResultError, short
from interp.results.base import FactResult
from interp.stats import few_clusters, holm, paired_difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FactComparison", "compare_facts"]

_FEW_FACTS = 100


@dataclass(frozen=True, repr=False)
class FactComparison(Comparison):
    """How quantities change from one checkpoint to another on the same facts.

    Attributes:
        kind: Of the two results.
        names: The two checkpoints.
        table: One row per quantity: ``quantity``, ``n`` facts that have it in both, in ``n_clusters``,
            ``before``, ``after``, ``change`` with its 95 % interval ``low`` to ``high``
            (`interp.stats.paired_difference` over clusters, all languages of a fact together), ``p``,
            ``holm``: adjusted over all rows, and ``mde``: the smallest change that would have been found in
            80 % (without correction).
        notes: What weakens the comparison, in words.
        view: How the results were read, such as ``scoring`` and ``cluster``.
    """

    kind: str
    names: tuple[str, str]
    table: pd.DataFrame
    notes: tuple[str, ...]
    view: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        shown = self.table.to_string(index=False, float_format=lambda x: f"{x:.4g}")
        return "\n".join([f"{self.names[0]} -> {self.names[1]} ({self.kind})", shown, *self.notes])

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table

    def summary(self) -> pd.DataFrame:
        """Return the table."""
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kind": self.kind,
            "names": list(self.names),
            "view": dict(self.view),
            "notes": list(self.notes),
            "quantities": self.table.to_dict(orient="records"),
        }


def compare_facts(
    before: FactResult, after: FactResult, *, names: tuple[str, str], cluster: str = "group", **view: Any
) -> FactComparison:
    """Compare two checkpoints on the same facts.

    Args:
        before: The first.
        after: The second.
        names: What to call them.
        cluster: What facts of one cluster share, see `interp.results.FactResult.clusterings`.
        view: Passed to the results' `quantities`, such as ``scoring``.

    Raises:
        ResultError: They were not asked the same, or have no quantity in common.
    """
    import pandas as pd

    one, other = (result.provenance for result in (before, after))
    differing = one.differences(other, ignore=("dtype", "attention"))
    questions = [(r.kind, r.fact_ids, r.languages) for r in (before, after)]
    if differing or questions[0] != questions[1]:
        listed = "; ".join(f"{k}: {short(a)} and {short(b)}" for k, (a, b) in differing.items())
        raise ResultError(
            f"The two results answer different questions ({listed or 'facts or languages differ'})."
        )
    before, after = before.in_common(after)
    clusters = before.clusters(cluster)
    there, here = before.quantities(**view), after.quantities(**view)
    rows = []
    for name in there:
        if name not in here:
            continue
        a, b = there[name], here[name]
        known = ~(np.isnan(a) | np.isnan(b))
        if not known.any():
            continue
        difference = paired_difference(b, a, clusters, share=before.is_share(name))
        means = {"before": float(a[known].mean()), "after": float(b[known].mean())}
        counts = {"n": int(difference.n), "n_clusters": int(difference.n_clusters)}
        change = difference.columns("change", counts=False)
        rows.append(
            {"quantity": name, **counts, **means, **change, "p": difference.p, "mde": difference.mde()}
        )
    if not rows:
        raise ResultError("The two results have no quantity in common that a fact has a value of.")
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("p") + 1, "holm", holm(table.p.to_numpy()))
    notes = (*_notes(before, after), *few_clusters(int(table.n.max()), int(table.n_clusters.max())))
    return FactComparison(before.kind, names, table, notes, {"cluster": cluster, **view})


def _notes(before: FactResult, after: FactResult) -> list[str]:
    notes = []
    if len(before.fact_ids) < _FEW_FACTS:
        notes.append(f"Few facts: {len(before.fact_ids)}.")
    for key in ("dtype", "attention", "batch_tokens"):
        values = [r.provenance.run.get(key) for r in (before, after)]
        unknown = key == "batch_tokens" and None in values  # of older results, and of the harness
        if values[0] != values[1] and not unknown:
            notes.append(f"The runs differ in {key} ({values[0]} and {values[1]}).")
    return notes
