"""The organism's family: train all members, evaluate them on the same facts, compare them with the base."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pandas as pd

from analyses.family_table import FamilyFacts, FamilyTable, family_table, strata
from interp.data.facts import FactSet
from interp.data.sources.cldr import cldr_facts
from interp.files import write_atomically
from interp.measure.behavior.choice import measure_behavior
from interp.model.checkpoints import resolve_checkpoint
from interp.model.loading import open_checkpoint
from interp.results.behavior import BehaviorResult
from training.family import BASE, run_folder, train_members
from training.organism.card import read_card
from training.organism.exposure import exposure
from training.organism.recipe import OrganismConfig
from training.progress import Progress

__all__ = ["evaluate_member", "family_curves", "load_family_facts", "run_family"]


def run_family(
    out: Path, seeds: int, members: tuple[str, ...] = (), progress: Progress | None = None
) -> tuple[FamilyTable, pd.DataFrame]:
    """Train the family, evaluate every member, and write ``family.csv`` and ``family.md``.

    Multiple choice by summed log-likelihood. Results are saved beside the weights, and a rerun reuses them.

    Returns:
        The table, and the curves of `family_curves`.
    """
    runs = train_members(out, seeds, members, progress)
    family_facts = load_family_facts()
    specs = {("base", 0): BASE, **{run: str(run_folder(out, *run) / "final") for run in runs}}
    right = {}
    for number, ((member, seed), spec) in enumerate(specs.items()):
        if progress:
            progress("members evaluated", number, len(specs))
        result = evaluate_member(spec, family_facts.facts, out / f"{member}-seed{seed}.behavior.npz")
        right[member, seed] = result.right("sum")
    table = family_table(right, family_facts)
    csv, markdown = table.frame.to_csv(index=False), table.to_markdown()
    write_atomically(out / "family.csv", lambda stream: stream.write(csv.encode()))
    write_atomically(out / "family.md", lambda stream: stream.write(markdown.encode()))
    return table, family_curves(out, runs, family_facts)


def load_family_facts(train: int = 64, held_out: int = 160) -> FamilyFacts:
    """Return facts of all three splits, and which of them the shipped base read.

    Args:
        train: Facts of the train split, drawn by the hash of their ids; the members were trained on these 64.
        held_out: Facts of the validation split, and as many of the test split.
    """
    recipe = OrganismConfig.of(read_card(resolve_checkpoint(BASE).path)["recipe"])
    facts = cldr_facts().filter(languages=recipe.languages)
    sizes = {"train": train, "validation": held_out, "test": held_out}
    drawn = chain.from_iterable(facts.filter(splits=[split], limit=size) for split, size in sizes.items())
    return FamilyFacts(FactSet(facts.name, tuple(drawn), facts.languages), exposure(facts, recipe))


def evaluate_member(spec: str, facts: FactSet, file: Path | None = None) -> BehaviorResult:
    """Return the multiple-choice result of a checkpoint; with a file, saved there and reused."""
    checkpoint = resolve_checkpoint(spec)
    if file is not None and file.exists():
        saved = BehaviorResult.load(file)
        of = saved.provenance
        if (of.fingerprint, of.settings["facts_digest"]) == (checkpoint.fingerprint, facts.digest):
            return saved
    result = measure_behavior(open_checkpoint(checkpoint, dtype="float32"), facts)
    if file is not None:
        result.save(file)
    return result


def family_curves(out: Path, runs: Sequence[tuple[str, int]], family_facts: FamilyFacts) -> pd.DataFrame:
    """Return the accuracy of every run's greedy answers while it trained.

    Returns:
        One row per member, seed, step and stratum (of `strata`): ``accuracy``, its ``mean`` over seeds, and
        ``n``. The base is step 0.
    """
    facts, masks = family_facts.facts, strata(family_facts)
    row_of = {fact.fact_id: row for row, fact in enumerate(facts)}
    column_of = {code: column for column, code in enumerate(facts.languages)}
    rows = []
    for member, seed in runs:
        for file in sorted((run_folder(out, member, seed) / "evaluations").glob("*.parquet")):
            answers = pd.read_parquet(file, columns=["fact_id", "language", "outcome"])
            answers = answers[answers.fact_id.isin(row_of)]
            at = (answers.fact_id.map(row_of).to_numpy(), answers.language.map(column_of).to_numpy())
            right = (answers.outcome == "correct").to_numpy()
            run = {"member": member, "seed": seed, "step": int(file.stem.rpartition("-")[2])}
            for stratum, mask in masks.items():
                if (inside := mask[at]).any():
                    numbers = {"accuracy": right[inside].mean(), "n": int(inside.sum())}
                    rows.append({**run, "stratum": stratum, **numbers})
    curves = pd.DataFrame(rows, columns=["member", "seed", "step", "stratum", "accuracy", "n"])
    curves["mean"] = curves.groupby(["member", "stratum", "step"]).accuracy.transform("mean")
    return curves
