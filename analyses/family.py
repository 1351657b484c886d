"""What each method did to the organism: accuracy by what was read, how it is spelled, and in which script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from interp.data.facts import FactSet
from interp.data.normalization import normalize
from interp.data.sources.cldr import cldr_facts
from interp.files import write_atomically
from interp.model.checkpoints import resolve_checkpoint
from interp.stats import paired_difference
from training.family import (
    BASE,
    Questions,
    measure_members,
    questions,
    right_answers,
    run_folder,
    train_members,
)
from training.progress import Progress

__all__ = [
    "FamilyTable",
    "family_curves",
    "family_table",
    "relation_prior",
    "run_family",
    "shipped_table",
    "strata",
]


@dataclass(frozen=True)
class FamilyTable:
    """Accuracy of every member by stratum.

    Attributes:
        frame: One row per stratum and member: ``accuracy`` (mean over seeds), ``change`` from the base with
            its 95 % interval ``low`` to ``high``, ``seeds``, the lowest and highest change of one seed, ``n``
            questions in ``n_clusters``, and ``prior``, what the relation's most frequent answer scores.
    """

    frame: pd.DataFrame

    def __repr__(self) -> str:
        lines = []
        for stratum, rows in self.frame.groupby("stratum", sort=False):
            first = rows.iloc[0]
            lines.append(f"{stratum} (n {first.n}, prior {first.prior:.3f})")
            lines += [f"  {_line(row)}" for row in rows.itertuples()]
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """Return strata as rows, members as columns."""
        members = list(dict.fromkeys(self.frame.member))
        head = ["stratum", "n", "clusters", "prior", *members]
        lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        for stratum, rows in self.frame.groupby("stratum", sort=False):
            by_member = {row.member: row for row in rows.itertuples()}
            first = rows.iloc[0]
            cells = [_cell(by_member[member]) for member in members]
            lines.append(
                f"| {stratum} | {first.n} | {first.n_clusters} | {first.prior:.3f} | "
                + " | ".join(cells)
                + " |"
            )
        return "\n".join(lines) + "\n"


def run_family(
    out: Path, seeds: int, members: tuple[str, ...] = (), progress: Progress | None = None
) -> tuple[FamilyTable, pd.DataFrame]:
    """Train the family, ask every member the same questions, and write ``family.csv`` and ``family.md``.

    Returns:
        The table, and the curves of `family_curves`.
    """
    runs = train_members(out, seeds, members, progress)
    asked = questions()
    table = family_table(measure_members(out, runs, asked, progress), asked)
    write_atomically(
        out / "family.csv", lambda stream: stream.write(table.frame.to_csv(index=False).encode())
    )
    write_atomically(out / "family.md", lambda stream: stream.write(table.to_markdown().encode()))
    return table, family_curves(out, runs, asked)


def shipped_table(members: Sequence[str], progress: Progress | None = None) -> FamilyTable:
    """Ask the shipped base and some shipped members (one seed each) a part of the questions, enough for a first look."""
    asked = questions(train=32, held_out=48)
    names = {"base": BASE, **{member: f"organism:{member}" for member in members}}
    right = {}
    for number, (member, spec) in enumerate(names.items()):
        right[member, 0] = right_answers(resolve_checkpoint(spec).path, asked)
        if progress:
            progress("members asked", number + 1, len(names))
    return family_table(right, asked)


def family_curves(out: Path, runs: Sequence[tuple[str, int]], asked: Questions) -> pd.DataFrame:
    """Return how the greedy answers of every run changed while it trained.

    Returns:
        One row per member, seed, step and stratum (of `strata`): ``accuracy``, its ``mean`` over seeds, and
        ``n``. The base is step 0.
    """
    named = strata(asked)
    place = {fact.fact_id: row for row, fact in enumerate(asked.facts)}
    column = {code: number for number, code in enumerate(asked.facts.languages)}
    rows = []
    for member, seed in runs:
        for file in sorted((run_folder(out, member, seed) / "evaluations").glob("*.parquet")):
            answers = pd.read_parquet(file, columns=["fact_id", "language", "outcome"])
            answers = answers[answers.fact_id.isin(place)]
            at = (answers.fact_id.map(place).to_numpy(), answers.language.map(column).to_numpy())
            right = (answers.outcome == "correct").to_numpy()
            for stratum, chosen in named.items():
                if (inside := chosen[at]).any():
                    found = {"accuracy": right[inside].mean(), "n": int(inside.sum())}
                    step = int(file.stem.rpartition("-")[2])
                    rows.append({"member": member, "seed": seed, "step": step, "stratum": stratum, **found})
    columns = ["member", "seed", "step", "stratum", "accuracy", "n"]
    curves = pd.DataFrame(rows, columns=columns)
    of_a_step = curves.groupby(["member", "stratum", "step"], sort=False)
    return curves.assign(mean=of_a_step.accuracy.transform("mean"))


def family_table(
    right: Mapping[tuple[str, int], Bool[np.ndarray, "fact language"]], asked: Questions
) -> FamilyTable:
    """Compare every member with the base on the same questions.

    The interval is over clusters of facts (all facts of a country and all languages of a fact together),
    of the mean over seeds; it says nothing about other seeds, whose spread stands beside it.

    Args:
        right: By member and seed, which questions were right; ``("base", 0)`` among them.
        asked: The questions.
    """
    members = list(dict.fromkeys(member for member, _ in right))
    prior = relation_prior(asked.facts)
    base = right["base", 0].astype(float)
    groups = np.repeat([[fact.group] for fact in asked.facts], base.shape[1], axis=1)
    rows = []
    for name, chosen in strata(asked).items():
        for member in members:
            own = [table.astype(float) for (m, _), table in right.items() if m == member]
            mean = np.mean(own, axis=0)
            each = [float((table - base)[chosen].mean()) for table in own]
            change = paired_difference(mean[chosen], base[chosen], groups[chosen].tolist(), share=True)
            rows.append(
                {
                    "stratum": name,
                    "member": member,
                    "n": int(chosen.sum()),
                    "n_clusters": int(change.n_clusters),
                    "prior": float(prior[chosen].mean()),
                    "accuracy": float(mean[chosen].mean()),
                    "change": change.estimate,
                    "low": change.low,
                    "high": change.high,
                    "seeds": len(own),
                    "lowest": min(each),
                    "highest": max(each),
                }
            )
    return FamilyTable(pd.DataFrame(rows))


def strata(asked: Questions) -> dict[str, Bool[np.ndarray, "fact language"]]:
    """Return the questions of each stratum; empty ones are left out.

    Spelling is alike when the right answer, normalized, is the same as in English: such a fact can carry over
    without being shared.
    """
    facts, languages = asked.facts, asked.facts.languages
    anchor = languages.index(asked.exposed.anchor)
    shape = (len(facts), len(languages))
    condition = np.array([[asked.exposed.condition(f.fact_id, c) for c in languages] for f in facts])
    english = [normalize(fact.answer(languages[anchor])) for fact in facts]
    alike = np.array(
        [[normalize(f.answer(c)) == e for c in languages] for f, e in zip(facts, english, strict=True)]
    )
    is_anchor = np.broadcast_to(np.arange(len(languages)) == anchor, shape)
    found = {}
    for split in ("train", "validation"):
        of_split = np.broadcast_to(np.array([fact.split == split for fact in facts])[:, None], shape)
        found[f"{split}, {languages[anchor]}"] = of_split & is_anchor
        found[f"{split}, read"] = of_split & ~is_anchor & (condition == "seen")
        unread = of_split & ~is_anchor & (condition == "unseen")
        found[f"{split}, unread, spelled alike"] = unread & alike
        found[f"{split}, unread, spelled otherwise"] = unread & ~alike
    found["test, read nowhere"] = condition == "held_out"
    return {name: chosen for name, chosen in found.items() if chosen.any()}


def relation_prior(facts: FactSet) -> Float[np.ndarray, "fact language"]:
    """Return what picking the answer that is most often right in the relation's train facts scores, per fact."""
    frequency = Counter((f.relation, f.object_id) for f in cldr_facts() if f.split == "train")
    credit = []
    for fact in facts:
        counts = [frequency[fact.relation, option] for option in fact.option_ids]
        best = [i for i, count in enumerate(counts) if count == max(counts)]
        credit.append((fact.answer_index in best) / len(best))
    return np.broadcast_to(np.array(credit)[:, None], (len(facts), len(facts.languages)))


def _line(row: Any) -> str:
    if row.member == "base":
        return f"{row.member:14s} {row.accuracy:.3f}"
    return (
        f"{row.member:14s} {row.accuracy:.3f}  {row.change:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        f"  {row.seeds} seeds {row.lowest:+.3f} to {row.highest:+.3f}"
    )


def _cell(row: Any) -> str:
    if row.member == "base":
        return f"{row.accuracy:.3f}"
    return f"{row.accuracy:.3f} ({row.change:+.3f} [{row.low:+.3f}, {row.high:+.3f}])"
