"""What of a measure survives a control: its share on facts romanized or shuffled, with an interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from analyses.comparison.base import Comparison
from interp.errors import ResultError, short
from interp.results.base import FactResult, Result
from interp.results.units import UnitResult
from interp.stats import Estimate, Jackknife, clustered_mean, few_clusters, jaccard, ratio_of_means

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Survival", "survival"]

_MAY_DIFFER = (
    "prompts",
    "facts_digest",
    "selected_on",
    "subjects",
    "tuned_on",
    "control",
    "dtype",
    "attention",
)


@dataclass(frozen=True, repr=False)
class Survival(Comparison):
    """One checkpoint's measure as it is written, and under a control.

    Attributes:
        kind: Of the two results.
        names: The checkpoint, and the control.
        table: One row per quantity: ``quantity``, its mean ``as_written`` and under ``control``, both from
            where nothing is found (`interp.results.FactResult.zero`), and ``survives``: the second over the
            first, with Fieller's 95 % interval ``low`` to ``high`` over ``n_clusters`` of ``n`` facts, or
            over blocks. 1: nothing is lost; 0: nothing is left. NaN where the first is not shown to differ
            from zero. Of units, what is in the same units stands before their mean specialization, which new
            differences in other units may well raise.
        notes: What weakens it, or says more.
    """

    kind: str
    names: tuple[str, str]
    table: pd.DataFrame
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        shown = self.table.to_string(index=False, float_format=lambda x: f"{x:.4g}")
        return "\n".join([f"{self.names[0]}, {self.names[1]} ({self.kind})", shown, *self.notes])

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kind": self.kind,
            "checkpoint": self.names[0],
            "control": self.names[1],
            "notes": list(self.notes),
            "quantities": self.table.to_dict(orient="records"),
        }


def survival(
    as_written: Result, under_control: Result, *, name: str = "", cluster: str = "group", **view: Any
) -> Survival:
    """What share of a result's values survives a control, fact by fact or block by block.

    Args:
        as_written: Of a checkpoint.
        under_control: Of the same checkpoint on the same facts, romanized or shuffled
            (`interp.data.controls`).
        name: What to call the checkpoint.
        cluster: What facts of one cluster share, see `interp.results.FactResult.clusterings`.
        view: Passed to the results' `quantities`, such as ``scoring``.

    Raises:
        ResultError: The second is not of a control of the first.
    """
    _require_control_of(as_written, under_control)
    names = (name or as_written.provenance.checkpoint, under_control.provenance.settings["control"])
    if isinstance(as_written, UnitResult) and isinstance(under_control, UnitResult):
        return _of_units(as_written, under_control, names)
    if isinstance(as_written, FactResult) and isinstance(under_control, FactResult):
        return _of_facts(as_written, under_control, names, cluster, view)
    raise ResultError(f"What survives of a result of kind '{as_written.kind}' is not defined.")


def _require_control_of(one: Result, other: Result) -> None:
    asked, under = one.provenance, other.provenance
    controls = [p.settings.get("control", "") for p in (asked, under)]
    if controls[0] or not controls[1]:
        raise ResultError(
            f"A result as written and one under a control are compared; these are under "
            f"'{controls[0] or 'none'}' and '{controls[1] or 'none'}'. Measure with --control."
        )
    differing = asked.differences(under, ignore=_MAY_DIFFER)
    if one.kind != other.kind:
        differing["kind"] = (one.kind, other.kind)
    if asked.fingerprint != under.fingerprint:
        differing["weights"] = (asked.checkpoint, under.checkpoint)
    if differing:
        listed = "; ".join(f"{k}: {short(a)} and {short(b)}" for k, (a, b) in differing.items())
        raise ResultError(
            f"The control '{controls[1]}' is of another measurement ({listed}). Measure both in one command "
            "with --control."
        )


def _of_units(one: UnitResult, other: UnitResult, names: tuple[str, str]) -> Survival:
    import pandas as pd

    if not np.array_equal(one.items, other.items):
        raise ResultError("The two results have other items in their blocks, so blocks cannot be paired.")
    quantities = {
        f"language differences of the same {one.unit}s": _differences(one, other),
        f"mean specialization of {one.unit}s": (one.per_layer, other.per_layer),
    }
    rows = [
        {"quantity": f"{quantity}, {place}", **_row(_by_block(before), _by_block(after))}
        for quantity, parts in quantities.items()
        for place, before, after in _places(one.layer_numbers, *parts)
    ]
    same = jaccard(one.selected(), other.selected())
    halves = float(one.noise_floor.overlap.mean())
    note = f"The selected {one.unit}s overlap by {same:.2f} (Jaccard; two halves of the text: {halves:.2f})."
    table = pd.DataFrame(rows).rename(columns={"n": "n_blocks"})
    return Survival(one.kind, names, table.drop(columns="n_clusters"), (note,))


def _differences(one: UnitResult, other: UnitResult) -> tuple[Jackknife, Jackknife]:
    """Per layer, how much units differ between languages, and how much of that is there under the control.

    With d a unit's activity in a language minus its mean over languages, as written, and d' under the
    control: the mean over units of the sums over languages of d d and of d d'. A difference that the control
    brings in other units, or between other languages, adds nothing to the second.
    """
    every = np.ones(one.n_blocks, dtype=bool)
    chosen = [every, *(every & (np.arange(one.n_blocks) != block) for block in range(one.n_blocks))]
    found = []
    for blocks in chosen:
        here, there = (_deviations(result.activity(blocks)) for result in (one, other))
        found.append([(here * each).sum(axis=0).mean(axis=-1) for each in (here, there)])
    own, again = np.moveaxis(np.array(found), 1, 0)
    return Jackknife(own[0], own[1:]), Jackknife(again[0], again[1:])


def _deviations(
    activity: Float[np.ndarray, "language layer unit"],
) -> Float[np.ndarray, "language layer unit"]:
    return activity - activity.mean(axis=0)


def _places(
    layers: Sequence[int], before: Jackknife, after: Jackknife
) -> Iterator[tuple[str, Jackknife, Jackknife]]:
    """The mean over layers, then every layer."""
    yield "all layers", before.mean(), after.mean()
    for place, layer in enumerate(layers):
        one, other = (Jackknife(m.plug_in[place], m.replicates[:, place]) for m in (before, after))
        yield f"layer {layer}", one, other


def _by_block(mean: Jackknife) -> Float[np.ndarray, " block"]:
    """Pseudo-values: their mean is the bias-corrected value, their spread its standard error."""
    values: np.ndarray = mean.n_blocks * np.asarray(mean.plug_in) - (mean.n_blocks - 1) * mean.replicates
    return values


def _of_facts(
    one: FactResult, other: FactResult, names: tuple[str, str], cluster: str, view: dict[str, Any]
) -> Survival:
    import pandas as pd

    if one.fact_ids == other.fact_ids:
        one, other = one.in_common(other)
    place = {fact: i for i, fact in enumerate(other.fact_ids)}
    rows_here = [i for i, fact in enumerate(one.fact_ids) if fact in place]
    rows_there = [place[one.fact_ids[i]] for i in rows_here]
    if not rows_here:
        raise ResultError("The two results have no fact in common.")
    labels = one.clusters(cluster)
    clusters = [labels[i] for i in rows_here]
    before, after = one.quantities(**view), other.quantities(**view)
    rows = []
    for name, zero in ((name, one.zero(name)) for name in before):
        if zero is not None and name in after:
            found = _row(before[name][rows_here] - zero, after[name][rows_there] - zero, clusters)
            rows += [{"quantity": name, **found}] if found["n"] else []
    if not rows:
        raise ResultError("The two results have no quantity in common that a fact has a value of.")
    table = pd.DataFrame(rows)
    notes = few_clusters(int(table.n.max()), int(table.n_clusters.max()))
    if lost := len(one.fact_ids) - len(rows_here):
        notes.append(f"{lost} of {len(one.fact_ids)} facts are not in both.")
    return Survival(one.kind, names, table, tuple(notes))


def _row(
    one: Float[np.ndarray, " fact"], other: Float[np.ndarray, " fact"], clusters: Any = None
) -> dict[str, Any]:
    """The two means over the facts that have both, and the share that survives."""
    both = ~(np.isnan(one) | np.isnan(other))
    one, other = (np.where(both, values, np.nan) for values in (one, other))
    first = clustered_mean(one, clusters)
    sign = -1.0 if first.estimate < 0 else 1.0
    share = ratio_of_means(sign * other, sign * one, clusters)
    there = _shown(first)
    return {
        "n": int(first.n),
        "n_clusters": int(first.n_clusters),
        "as_written": float(first.estimate),
        "control": float(clustered_mean(other, clusters).estimate),
        "survives": float(share.estimate) if there else np.nan,
        "low": float(share.low) if there else np.nan,
        "high": float(share.high) if there else np.nan,
    }


def _shown(mean: Estimate) -> bool:
    """Whether a mean differs from zero; without spread, whether it is another number."""
    if mean.standard_error == 0:
        return bool(mean.estimate != 0)
    return bool(mean.excludes())
