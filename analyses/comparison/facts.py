"""Two checkpoints fact by fact: the change of every quantity, with paired intervals and a corrected p."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from analyses.comparison.base import Change
from interp.errors import ResultError, short
from interp.results.base import FactResult
from interp.stats import ALPHA, Family, family_wise, few_clusters, known_mean, mde, paired_difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FactComparison", "compare_facts"]

_FEW_FACTS = 100
_NAMED = 3  # quantities that a verdict names


@dataclass(frozen=True, repr=False)
class FactComparison(Change):
    """How quantities change from one checkpoint to another on the same facts.

    Attributes:
        kind: Of the two results.
        names: The two checkpoints.
        table: One row per quantity: ``quantity``, ``n`` facts that have it in both, in ``n_clusters``,
            ``before``, ``after``, ``change`` with its 95 % interval ``low`` to ``high``
            (`interp.stats.paired_difference` over clusters, all languages of a fact together), ``p``, its
            ``standard_error`` and ``df``; ``holm``: p corrected over the ``family``; and ``mde``: the
            smallest change that would have been found in 80 % of such samples, corrected as well.
        notes: What weakens the comparison, in words.
        family: What p are corrected over.
        view: How the results were read, such as ``scoring`` and ``cluster``.
    """

    kind: str
    names: tuple[str, str]
    table: pd.DataFrame
    notes: tuple[str, ...]
    family: Family
    view: Mapping[str, Any] = field(default_factory=dict)

    def tests(self) -> Mapping[str, np.ndarray]:
        """p of every quantity."""
        return {"quantities": self.table.p.to_numpy(dtype=float)}

    def within(self, family: Family) -> Self:
        """The comparison with its p corrected in a family."""
        found = replace(self, family=family)
        level = family.levels["quantities"]
        smallest = mde(self.table.standard_error.to_numpy(), self.table.df.to_numpy(), alpha=level)
        columns = {"holm": family.adjusted["quantities"], "mde": smallest, "family": found.corrected_over}
        return replace(found, table=self.table.assign(**columns))

    @property
    def verdict(self) -> str:
        """Which quantities are shown to differ, in words."""
        table, over = self.table, f"over {self.corrected_over}"
        shown, unknown = table[table.holm < ALPHA], int(table.p.isna().sum())
        text = ""
        if len(shown):
            listed = ", ".join(f"{row.quantity} {row.change:+.3g}" for row in shown[:_NAMED].itertuples())
            more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
            text = (
                f"{len(shown)} of {len(table)} quantities differ (Holm p < {ALPHA:g} {over}): {listed}{more}."
            )
        elif unknown < len(table):
            least = table.loc[table.p.idxmin()]
            text = f"No difference is shown: Holm p is at least {least.holm:.2g} {over}."
            known = table[table.mde.notna()]
            if len(known):
                row = known.iloc[0]
                text += f" A change of {row.mde:.2g} in '{row.quantity}' would have been found in 80 % (MDE)."
        if unknown:
            without = f" No verdict on {unknown} of {len(table)} quantities, which have no p: "
            text += f"{without}too few clusters have one."
        return text.strip()

    def __repr__(self) -> str:
        shown = self.table.drop(columns=["standard_error", "df", "family"])
        text = shown.to_string(index=False, float_format=lambda x: f"{x:.4g}")
        head = f"{self.names[0]} -> {self.names[1]} ({self.kind})"
        return "\n".join([head, text, self.verdict, *self.notes])

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kind": self.kind,
            "names": list(self.names),
            "view": dict(self.view),
            "notes": list(self.notes),
            "verdict": self.verdict,
            "family": self.family_dict(),
            "quantities": self.table.drop(columns="family").to_dict(orient="records"),
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
    questions, n_asked = [(r.kind, r.fact_ids, r.languages) for r in (before, after)], len(before.fact_ids)
    if differing or questions[0] != questions[1]:
        listed = "; ".join(f"{k}: {short(a)} and {short(b)}" for k, (a, b) in differing.items())
        raise ResultError(
            f"The two results answer different questions ({listed or 'facts or languages differ'})."
        )
    before, after = before.in_common(after)
    left_out = n_asked - len(before.fact_ids)
    clusters = before.clusters(cluster)
    there, here = before.quantities(**view), after.quantities(**view)
    shared = [name for name in there if name in here and not np.isnan(there[name] + here[name]).all()]
    if not shared:
        raise ResultError("The two results have no quantity in common that a fact has a value of.")
    shares = [name for name in shared if before.is_share(name)]
    rest = [name for name in shared if name not in shares]
    parts = [
        _changes(there, here, names, clusters, share=names is shares) for names in (shares, rest) if names
    ]
    table = pd.concat(parts).loc[shared].reset_index(names="quantity")
    fewest = table.loc[table.n_clusters.idxmin()]
    notes = [*_notes(before, after), *few_clusters(int(fewest.n), int(fewest.n_clusters))]
    if left_out:
        notes.append(
            f"{left_out} of {n_asked} facts are left out of both, since one of the two has no valid answer."
        )
    family = family_wise({"quantities": table.p.to_numpy()}, f"{names[1]} against {names[0]}")
    view = {"cluster": cluster, **view}
    return FactComparison(before.kind, names, table, tuple(notes), family, view).within(family)


def _changes(
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    names: Sequence[str],
    clusters: Sequence[str],
    *,
    share: bool,
) -> pd.DataFrame:
    """One row per quantity, under its name: means of the facts that have it in both, and their change."""
    import pandas as pd

    a, b = (np.stack([side[name] for name in names], axis=1).astype(float) for side in (before, after))
    either = np.isnan(a) | np.isnan(b)
    found = paired_difference(b, a, clusters, share=share)
    means = {
        name: known_mean(np.where(either, np.nan, side), axis=0)
        for name, side in (("before", a), ("after", b))
    }
    errors = {"p": found.p, "standard_error": found.standard_error, "df": found.df}
    columns = {"n": found.n, "n_clusters": found.n_clusters, **means}
    return pd.DataFrame({**columns, **found.columns("change", counts=False), **errors}, index=list(names))


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
