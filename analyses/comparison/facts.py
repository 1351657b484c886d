"""Two checkpoints fact by fact: the change of every quantity, with paired intervals and Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from analyses.comparison.base import Comparison
from interp.errors import ResultError, short
from interp.results.base import FactResult
from interp.stats import holm, paired_bootstrap

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FactComparison", "compare_facts"]

_FEW_FACTS = 100
_LEAST_P = 2 / 10_001  # of a two-sided bootstrap with 10,000 draws


@dataclass(frozen=True, repr=False)
class FactComparison(Comparison):
    """How quantities change from one checkpoint to another on the same facts.

    Attributes:
        kind: Of the two results.
        names: The two checkpoints.
        table: One row per quantity: ``quantity``, ``n`` facts that have it in both, ``before``, ``after``,
            ``change`` with its 95 % interval ``low`` to ``high`` (paired bootstrap over groups of facts, all
            languages of a fact together), ``p``, and ``holm``: adjusted over all rows.
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
        cluster: What intervals resample, see `interp.results.FactResult.clusterings`.
        view: Passed to the results' `quantities`, such as ``scoring``.

    Raises:
        ResultError: They were not asked the same, or have no quantity in common.
    """
    import pandas as pd

    one, other = (result.provenance for result in (before, after))
    differing = one.differences(other, ignore=("dtype", "attention"))
    asked = [(r.kind, r.fact_ids, r.languages) for r in (before, after)]
    if differing or asked[0] != asked[1]:
        listed = "; ".join(f"{k}: {short(a)} and {short(b)}" for k, (a, b) in differing.items())
        raise ResultError(
            f"The two results answer different questions ({listed or 'facts or languages differ'})."
        )
    before, after = before.in_common(after)
    order = np.argsort(before.fact_ids)  # the last digits of a bootstrap depend on the order
    groups = np.array(before.clusters(cluster))[order]
    there, here = before.quantities(**view), after.quantities(**view)
    rows = []
    for name in there:
        if name not in here:
            continue
        a, b = there[name][order], here[name][order]
        known = ~(np.isnan(a) | np.isnan(b))
        if not known.any():
            continue
        found = paired_bootstrap(b[known], a[known], groups=groups[known].tolist())
        rows.append(
            {
                "quantity": name,
                "n": found.n,
                "before": float(a[known].mean()),
                "after": float(b[known].mean()),
                "change": found.difference,
                "low": found.low,
                "high": found.high,
                "p": found.p,
            }
        )
    if not rows:
        raise ResultError("The two results have no quantity in common that a fact has a value of.")
    table = pd.DataFrame(rows)
    notes = (*_notes(before, after), *_coarse(len(table)))
    table = table.assign(holm=holm(table.p.to_numpy()))
    return FactComparison(before.kind, names, table, notes, {"cluster": cluster, **view})


def _coarse(rows: int) -> list[str]:
    """Whether so many rows leave Holm's correction nothing to find."""
    if rows * _LEAST_P < 0.05:
        return []
    return [
        f"Among {rows} rows no Holm p can be below .05, since a bootstrap p is at least {_LEAST_P:.2g}; read "
        "the intervals, or compare fewer cells."
    ]


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
