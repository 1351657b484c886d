"""Accuracy of the organism's family by stratum: split, what the base read, how the answer is spelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from interp.data.baselines import prior_credit
from interp.data.facts import FactSet
from interp.data.normalization import normalize
from interp.data.sources.cldr import cldr_facts
from interp.stats import interval_text, paired_difference
from training.organism.exposure import HELD_OUT, SEEN, UNSEEN, Exposure

__all__ = ["FamilyFacts", "FamilyTable", "family_table", "strata"]


@dataclass(frozen=True)
class FamilyFacts:
    """Facts of all three splits that every member is evaluated on.

    Attributes:
        facts: In a fixed order.
        exposed: Which of them the base read in which language.
    """

    facts: FactSet
    exposed: Exposure


@dataclass(frozen=True)
class FamilyTable:
    """Accuracy of every member by stratum.

    Attributes:
        frame: One row per stratum and member: ``accuracy`` (mean over seeds), ``change`` from the base with
            its 95 % interval ``low`` to ``high``, ``seeds``, the lowest and highest change of one seed, ``n``
            questions in ``n_clusters``, and ``prior``, the accuracy of the relation's most frequent answer
            (`interp.data.baselines.prior_credit`).
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
            counts = f"{first.n} | {first.n_clusters} | {first.prior:.3f}"
            lines.append(f"| {stratum} | {counts} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def family_table(
    right: Mapping[tuple[str, int], Bool[np.ndarray, "fact language"]], family_facts: FamilyFacts
) -> FamilyTable:
    """Compare every member with the base on the same questions.

    The interval is over clusters of facts (all facts of a country and all languages of a fact together), of
    the mean over seeds; the variation between seeds is given beside it.

    Args:
        right: By member and seed, which questions were answered rightly; ``("base", 0)`` among them.
        family_facts: The questions.
    """
    facts = family_facts.facts
    prior = np.array(prior_credit(facts, cldr_facts()))[:, None]
    base = right["base", 0].astype(float)
    groups = np.repeat([[fact.group] for fact in facts], base.shape[1], axis=1)
    rows = []
    for name, mask in strata(family_facts).items():
        for member in dict.fromkeys(member for member, _ in right):
            seeds = [table.astype(float) for (m, _), table in right.items() if m == member]
            mean = np.mean(seeds, axis=0)
            changes = [float((table - base)[mask].mean()) for table in seeds]
            change = paired_difference(mean[mask], base[mask], groups[mask].tolist(), share=True)
            rows.append(
                {
                    "stratum": name,
                    "member": member,
                    "n": int(mask.sum()),
                    "n_clusters": int(change.n_clusters),
                    "prior": float(np.broadcast_to(prior, mask.shape)[mask].mean()),
                    "accuracy": float(mean[mask].mean()),
                    **change.columns("change", counts=False),
                    "seeds": len(seeds),
                    "lowest": min(changes),
                    "highest": max(changes),
                }
            )
    return FamilyTable(pd.DataFrame(rows))


def strata(family_facts: FamilyFacts) -> dict[str, Bool[np.ndarray, "fact language"]]:
    """Return the questions of each stratum; empty strata are left out.

    Spelling is alike when the right answer, normalized, is the same as in English: such a fact can carry over
    between languages by its name.
    """
    facts, languages = family_facts.facts, family_facts.facts.languages
    anchor, condition = family_facts.exposed.anchor, family_facts.exposed.conditions(facts)
    names = np.array([[normalize(fact.answer(code)) for code in languages] for fact in facts])
    alike = names == names[:, [languages.index(anchor)]]
    in_anchor = np.broadcast_to(np.array(languages) == anchor, condition.shape)
    masks = {}
    for split in ("train", "validation"):
        in_split = np.array([fact.split == split for fact in facts])[:, None]
        unread = in_split & ~in_anchor & (condition == UNSEEN)
        masks[f"{split}, {anchor}"] = in_split & in_anchor
        masks[f"{split}, read"] = in_split & ~in_anchor & (condition == SEEN)
        masks[f"{split}, unread, spelled alike"] = unread & alike
        masks[f"{split}, unread, spelled otherwise"] = unread & ~alike
    masks["test, read nowhere"] = condition == HELD_OUT
    return {name: mask for name, mask in masks.items() if mask.any()}


def _line(row: Any) -> str:
    if row.member == "base":
        return f"{row.member:14s} {row.accuracy:.3f}"
    return (
        f"{row.member:14s} {row.accuracy:.3f}  {row.change:+.3f} {interval_text(row.low, row.high, '+.3f')}"
        f"  {row.seeds} seeds {row.lowest:+.3f} to {row.highest:+.3f}"
    )


def _cell(row: Any) -> str:
    if row.member == "base":
        return f"{row.accuracy:.3f}"
    return f"{row.accuracy:.3f} ({row.change:+.3f} {interval_text(row.low, row.high, '+.3f')})"
