"""Two checkpoints fact by fact: the change of every quantity, with paired intervals and Holm's correction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.errors import ResultError, short
from interp.files import write_atomically
from interp.results.base import FactResult
from interp.stats import few_clusters, holm, paired_difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Changes", "compare_facts"]

_FEW_FACTS = 100


@dataclass(frozen=True)
class Changes:
    """How quantities change from one checkpoint to another on the same facts.

    Attributes:
        kind: Of the two results.
        names: The two checkpoints.
        table: One row per quantity: ``quantity``, ``n`` facts that have it in both, in ``n_clusters``,
            ``before``, ``after``, ``change`` with its 95 % interval ``low`` to ``high``
            (`interp.stats.paired_difference` over clusters of facts, all languages of a fact together),
            ``p``, ``holm``: adjusted over all rows, and ``mde``: the smallest change that would have been
            found in 80 % (without correction).
        diagnostics: What makes the comparison weaker, in words.
    """

    kind: str
    names: tuple[str, str]
    table: pd.DataFrame
    diagnostics: tuple[str, ...]

    def __repr__(self) -> str:
        shown = self.table.to_string(index=False, float_format=lambda x: f"{x:.4g}")
        return "\n".join([f"{self.names[0]} -> {self.names[1]} ({self.kind})", shown, *self.diagnostics])

    def _repr_html_(self) -> str:
        head = escape(f"{self.names[0]} -> {self.names[1]} ({self.kind})")
        notes = "".join(f"<p>{escape(diagnostic)}</p>" for diagnostic in self.diagnostics)
        return f"<p>{head}</p>{self.table.to_html(index=False, float_format='%.4g')}{notes}"

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table

    def save(self, path: Path | str) -> Path:
        """Write JSON; whole or not at all."""
        table = self.table.astype(object).where(self.table.notna(), None)
        plain = {"kind": self.kind, "names": list(self.names), "diagnostics": list(self.diagnostics)}
        text = json.dumps(
            {**plain, "quantities": table.to_dict(orient="records")},
            indent=1,
            ensure_ascii=False,
            allow_nan=False,
        )
        write_atomically(Path(path), lambda stream: stream.write(text.encode()))
        return Path(path)


def compare_facts(
    before: FactResult, after: FactResult, *, names: Sequence[str] | None = None, **how: Any
) -> Changes:
    """Compare two checkpoints on the same facts.

    Args:
        before: The first.
        after: The second.
        names: What to call them; by default their checkpoints.
        how: Passed to the results' `quantities`, such as ``normalization``.

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
    there, here = before.quantities(**how), after.quantities(**how)
    rows = []
    for name in there:
        if name not in here:
            continue
        a, b = there[name], here[name]
        known = ~(np.isnan(a) | np.isnan(b))
        if not known.any():
            continue
        found = paired_difference(b, a, before.groups, share=before.is_share(name))
        means = {"before": float(a[known].mean()), "after": float(b[known].mean())}
        change = found.columns("change", counts=False)
        counts = {"n": found.n, "n_clusters": found.n_clusters}
        rows.append({"quantity": name, **counts, **means, **change, "p": found.p, "mde": found.mde()})
    if not rows:
        raise ResultError("The two results have no quantity in common that a fact has a value of.")
    table = pd.DataFrame(rows)
    called = names or (one.checkpoint, other.checkpoint)
    table.insert(table.columns.get_loc("p") + 1, "holm", holm(table.p.to_numpy()))
    diagnostics = (
        *_diagnostics(before, after),
        *few_clusters(int(table.n.max()), int(table.n_clusters.max())),
    )
    return Changes(before.kind, (called[0], called[1]), table, diagnostics)


def _diagnostics(before: FactResult, after: FactResult) -> list[str]:
    diagnostics = []
    if len(before.fact_ids) < _FEW_FACTS:
        diagnostics.append(f"Few facts: {len(before.fact_ids)}.")
    for key in ("dtype", "attention", "batch_tokens"):
        values = [r.provenance.run.get(key) for r in (before, after)]
        if values[0] != values[1]:
            diagnostics.append(f"The runs differ in {key} ({values[0]} and {values[1]}).")
    return diagnostics
