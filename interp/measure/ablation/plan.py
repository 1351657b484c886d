"""Plan an ablation: two halves of the facts, the units removed for each, and the passes that this takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from interp.data.facts import FactSet
from interp.data.hashing import hash_key
from interp.data.prompts import PromptSet
from interp.measure.questions import Question, question_batches
from interp.results.selection import random_units, top_units
from interp.results.units import UnitResult

__all__ = ["AblationItem", "blocks_of", "halves_of", "plan_passes", "plan_units"]


@dataclass(frozen=True)
class AblationItem:
    """A question, and what is removed while it is asked: a variant of an owner's units, or nothing (-1)."""

    question: Question
    half: int
    variant: int
    owner: int


def blocks_of(n_blocks: int, half: int) -> list[int]:
    """The blocks of a half."""
    middle = n_blocks // 2
    return list(range(middle, n_blocks) if half else range(middle))


def halves_of(facts: FactSet, read: PromptSet, n_blocks: int) -> Int[np.ndarray, " fact"]:
    """Per fact 0 or 1: the half of its group's block; of a group that was not read, by the group's hash."""
    block = read.group_blocks(n_blocks)
    second = set(blocks_of(n_blocks, 1))
    return np.array(
        [
            int(block[f.group] in second) if f.group in block else hash_key("half", f.group)[0] % 2
            for f in facts
        ]
    )


def plan_units(
    selection: UnitResult, count: int, draws: int, seed: int, rule: str = "specialized"
) -> Int[np.ndarray, "half variant owner count"]:
    """The units for each half, selected on the other one, and random ones."""
    halves = []
    for half in (0, 1):
        top = top_units(selection.subset(blocks_of(selection.n_blocks, 1 - half)), count, rule)
        random = [_random_like(selection, top, (seed, half, draw)) for draw in range(draws)]
        halves.append(np.stack([top, *random]))
    return np.stack(halves)


def plan_passes(
    questions: Sequence[Question], half: np.ndarray, draws: int, n_owners: int, batch_tokens: int
) -> list[list[AblationItem]]:
    """Batches of one half of the facts with one set of units removed, or none, longest first."""
    sets = [(-1, 0), *((variant, owner) for variant in range(1 + draws) for owner in range(n_owners))]
    passes = []
    for h in (0, 1):
        batches = question_batches([q for q in questions if half[q.fact] == h], batch_tokens)
        for variant, owner in sets:
            for batch in batches:
                passes.append([AblationItem(question, h, variant, owner) for question in batch])
    return passes


def _random_like(
    selection: UnitResult, top: Int[np.ndarray, "owner count"], seeds: tuple[int, ...]
) -> Int[np.ndarray, "owner count"]:
    """One random set per language, which depends on the language's name and not on its place."""
    rngs = [
        np.random.default_rng([*seeds, *hash_key("random units", code)[:4]]) for code in selection.languages
    ]
    return np.stack([random_units(units, selection.rated, rng) for units, rng in zip(top, rngs, strict=True)])
