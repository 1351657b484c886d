"""Every change that a study looked at: intervals over facts and over seeds, one correction over all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from analyses.study.record import CellRecord, MeasureRecord, Record
from interp.errors import ResultError, short
from interp.results import load_result
from interp.results.base import FactResult, Result
from interp.results.units import UnitResult
from interp.stats import ALPHA, Family, Jackknife, family_wise, mde, paired_difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Effect", "Effects", "study_effects"]


@dataclass(frozen=True)
class Effect:
    """One change from the reference to a member.

    Attributes:
        measure: Name in the study file.
        part: Suffix of the results.
        member: What is compared with the reference.
        quantity: What changes, as in the comparison of two results.
        headline: Noun phrase for a sentence; empty for what is only looked at.
        n: Facts (or prompts) in both.
        n_clusters: Clusters of facts (or blocks).
        n_seeds: Checkpoints of the member.
        before: Value of the reference.
        after: Mean value over the member's seeds.
        change: Mean over seeds of after - before.
        low: Lower end of the 95 % interval over facts.
        high: Upper end.
        seeds_low: Lower end of the 95 % interval over seeds; NaN with one seed.
        seeds_high: Upper end.
        noise_floor: What a paired change stays below in 95 % of texts if nothing has changed; NaN where a
            measure has none.
        p: Of the change being zero, over facts.
        adjusted_p: Holm's, over everything that the study looked at.
        standard_error: Over facts.
        df: Its degrees of freedom.
        files: Results that it stands on, relative to the study's folder.
    """

    measure: str
    part: str
    member: str
    quantity: str
    headline: str
    n: int
    n_clusters: int
    n_seeds: int
    before: float
    after: float
    change: float
    low: float
    high: float
    seeds_low: float
    seeds_high: float
    noise_floor: float
    p: float
    standard_error: float
    df: float
    files: tuple[str, ...]
    adjusted_p: float = float("nan")

    def mde(self, power: float, alpha: float) -> float:
        """The smallest change that would have been found at a level, see `interp.stats.mde`."""
        return float(mde(self.standard_error, self.df, power, alpha))


@dataclass(frozen=True)
class Effects:
    """All changes of a study, corrected together.

    Attributes:
        all: In the order of the file.
        family: What was corrected together, in words.
        n_tests: Changes that have a p.
        level: At which a headline is tested in the first of Holm's steps, of ``ALPHA`` over all.
        digests: SHA-256 of every file that a change stands on.
        missing: What could not be compared, and why.
    """

    all: tuple[Effect, ...]
    family: str
    n_tests: int
    level: float
    digests: dict[str, str]
    missing: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row per change."""
        import pandas as pd

        rows = [{**vars(each), "files": " ".join(each.files)} for each in self.all]
        return pd.DataFrame(rows, columns=list(Effect.__dataclass_fields__))


def study_effects(record: Record, out: Path) -> Effects:
    """Compare every member with the reference in everything that is done.

    Args:
        record: Of the study.
        out: Its folder.

    Raises:
        ResultError: A saved result is damaged.
    """
    found: list[Effect] = []
    missing: list[str] = []
    for measure in record.measures:
        for part in measure.parts:
            reference = record.of(measure.name, part, record.members[0].name)
            for member in record.members[1:]:
                after = record.of(measure.name, part, member.name)
                lacking = [cell.label for cell in (*reference, *after) if cell.state != "done"]
                where = f"{member.name}, {measure.name} ({part})"
                if lacking:
                    missing.append(f"{where}: not done: {', '.join(lacking)}.")
                    continue
                try:
                    found += _compared(measure, part, member.name, reference, after, out)
                except ResultError as error:
                    missing.append(f"{where}: {error}")
    n_members, n_measures = len(record.members) - 1, len(record.measures)
    name = f"everything compared over {n_members} checkpoints or methods and {n_measures} measures"
    family = _family(found, name)
    corrected = tuple(
        replace(each, adjusted_p=float(family.adjusted[str(i)][0])) for i, each in enumerate(found)
    )
    files = sorted({file for each in found for file in each.files})
    digests = {file: _sha256(out / file) for file in files}
    level = min((family.levels[str(i)] for i, each in enumerate(found) if each.headline), default=ALPHA)
    return Effects(corrected, name, family.n, float(level), digests, tuple(missing))


def _family(effects: Sequence[Effect], name: str) -> Family:
    """One correction over all changes; headlines share one half of the error rate, all else the other."""
    headlines = {str(i) for i, each in enumerate(effects) if each.headline}
    return family_wise({str(i): np.array([each.p]) for i, each in enumerate(effects)}, name, main=headlines)


def _compared(
    measure: MeasureRecord,
    part: str,
    member: str,
    reference: Sequence[CellRecord],
    after: Sequence[CellRecord],
    out: Path,
) -> list[Effect]:
    """All changes of one part of one member; seeds are paired where the reference has several too."""
    before, later = ([load_result(out / cell.file) for cell in cells] for cells in (reference, after))
    files = tuple(cell.file for cell in (*reference, *after))
    known = {"measure": measure.name, "part": part, "member": member, "files": files}
    pairs = [(before[min(i, len(before) - 1)], each) for i, each in enumerate(later)]
    for one, other in pairs:
        _require_same_question(one, other)
    if isinstance(before[0], UnitResult):
        return list(_of_units(pairs, known))
    if isinstance(before[0], FactResult):
        return list(_of_facts(pairs, dict(measure.view), known))
    raise ResultError(f"Results of kind '{before[0].kind}' are not compared.")


def _require_same_question(one: Result, other: Result) -> None:
    differing = one.provenance.differences(other.provenance, ignore=("dtype", "attention"))
    if differing:
        listed = "; ".join(f"{k}: {short(a)} and {short(b)}" for k, (a, b) in differing.items())
        raise ResultError(f"The results answer different questions ({listed}).")


def _of_units(pairs: Sequence[tuple[Any, Any]], known: dict[str, Any]) -> Iterator[Effect]:
    """The change of mean specialization, over all layers and of each."""
    first = pairs[0][0]
    shapes = {each.scores.plug_in.shape for pair in pairs for each in pair}
    if len(shapes) > 1:
        raise ResultError(
            "The checkpoints have different shapes; only one model family is compared unit by unit."
        )
    n = int(first.items.sum(axis=1).min())
    headline = f"the mean specialization of {_UNITS[first.unit]} (nats)"
    for place, layer in [(None, None), *enumerate(first.layer_numbers)]:
        means = [tuple(_mean_of(each, place) for each in pair) for pair in pairs]
        changes = [after - before for before, after in means]
        change = _average(changes)
        low, high = (float(end) for end in change.interval())
        yield Effect(
            **known,
            quantity="mean specialization" if layer is None else f"mean specialization layer {layer}",
            headline=headline if layer is None else "",
            n=n,
            n_clusters=change.n_blocks,
            n_seeds=len(pairs),
            before=float(np.mean([one.value for one, _ in means])),
            after=float(np.mean([other.value for _, other in means])),
            change=float(change.value),
            low=low,
            high=high,
            **_over_seeds([float(each.value) for each in changes]),
            noise_floor=float(change.noise().value),
            p=float(change.p_value()),
            standard_error=float(change.standard_error),
            df=change.n_blocks - 1,
        )


_UNITS = {"neuron": "MLP neurons", "head": "attention heads", "expert": "routed experts"}


def _mean_of(result: UnitResult, place: int | None) -> Jackknife:
    each = result.per_layer
    return each.mean() if place is None else Jackknife(each.plug_in[place], each.replicates[:, place])


def _average(each: Sequence[Jackknife]) -> Jackknife:
    return Jackknife(
        np.mean([one.plug_in for one in each], axis=0), np.mean([one.replicates for one in each], axis=0)
    )


def _of_facts(
    pairs: Sequence[tuple[Any, Any]], view: dict[str, Any], known: dict[str, Any]
) -> Iterator[Effect]:
    """The change of every quantity; over seeds each fact's mean, where it has a value in all."""
    cluster = view.pop("cluster", "group")
    common = [one.in_common(other) for one, other in pairs]
    first = common[0][0]
    shared = [fact for fact in first.fact_ids if all(fact in one.fact_ids for one, _ in common)]
    labels = dict(zip(first.fact_ids, first.clusters(cluster), strict=True))
    clusters = [labels[fact] for fact in shared]
    values = [tuple(_values(each, shared, view) for each in pair) for pair in common]
    every = [quantities for pair in values for quantities in pair]
    names = [name for name in every[0] if all(name in quantities for quantities in every)]
    for name in names:
        before, after = (np.mean([pair[side][name] for pair in values], axis=0) for side in (0, 1))
        there = ~(np.isnan(before) | np.isnan(after))
        if not there.any():
            continue
        change = paired_difference(after, before, clusters, share=first.is_share(name))
        each = [float(np.mean((pair[1][name] - pair[0][name])[there])) for pair in values]
        yield Effect(
            **known,
            quantity=name,
            headline=first.headlines.get(name, ""),
            n=int(change.n),
            n_clusters=int(change.n_clusters),
            n_seeds=len(pairs),
            before=float(before[there].mean()),
            after=float(after[there].mean()),
            change=float(change.estimate),
            low=float(change.low),
            high=float(change.high),
            **_over_seeds(each),
            noise_floor=float("nan"),
            p=float(change.p),
            standard_error=float(change.standard_error),
            df=float(change.df),
        )


def _values(result: FactResult, facts: Sequence[str], view: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every quantity of some facts, in their order."""
    row = {fact: i for i, fact in enumerate(result.fact_ids)}
    rows = [row[fact] for fact in facts]
    return {name: np.asarray(values)[rows] for name, values in result.quantities(**view).items()}


def _over_seeds(changes: Sequence[float]) -> dict[str, Any]:
    """95 % interval over seeds, Student's t; NaN with one seed."""
    if len(changes) < 2:
        return {"seeds_low": float("nan"), "seeds_high": float("nan")}
    half = stats.t.ppf(0.975, len(changes) - 1) * np.std(changes, ddof=1) / np.sqrt(len(changes))
    return {"seeds_low": float(np.mean(changes) - half), "seeds_high": float(np.mean(changes) + half)}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
