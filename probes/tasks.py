"""What a probe is asked to read: labels per fact and language, and the control labels that mean nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from interp.data.facts import FactSet
from interp.errors import ConfigError, MeasurementError

__all__ = ["TASKS", "UNASKED", "Task", "answer_task", "language_task", "right_task"]

TASKS = ("language", "answer", "right")
UNASKED = -1
"""The label of what is not asked."""


@dataclass(frozen=True)
class Task:
    """Labels of every fact in every language.

    Attributes:
        name: One of `TASKS`.
        labels: Number of the class, or `UNASKED`.
        classes: Names of the classes.
        strata: Per fact: facts of one stratum share a probe, those of different strata do not.
        relations: Per fact: control labels are dealt anew within a relation.
        joint: Whether one probe reads all languages; otherwise each language has its own.
        left_out: What is not asked, in words.
    """

    name: str
    labels: Int[np.ndarray, "fact language"]
    classes: tuple[str, ...]
    strata: tuple[str, ...]
    relations: tuple[str, ...]
    joint: bool
    left_out: tuple[str, ...] = ()

    def control(self, seed: int = 0) -> Int[np.ndarray, "fact language"]:
        """Return labels that mean nothing and have the same shares (Hewitt & Liang's control task).

        Each fact gets the labels of another fact of its relation, for all languages at once, so that a
        language and a relation keep how often they have each label: what a probe scores above its control is
        about the fact. For the task ``language`` the languages are dealt anew within each fact.

        Source: Hewitt & Liang (2019), https://aclanthology.org/D19-1275. Their types are words that recur in
        the test data; ours are facts, which do not, so a control of ``language`` or ``answer`` above chance
        is a leak rather than memory. That of ``right`` is above chance where relations differ in how often
        the model is right. A control of few facts lies a little below chance: of what a fold holds out,
        training has the less (0.316 for 1/3 of 48 facts with 96 features).
        """
        rng = np.random.default_rng(seed)
        if self.joint:
            return rng.permuted(self.labels, axis=1)
        dealt = self.labels.copy()
        labeled = (self.labels != UNASKED).any(axis=1)
        relations = np.array(self.relations)
        for relation in sorted(set(self.relations)):
            rows = np.flatnonzero((relations == relation) & labeled)
            dealt[rows] = self.labels[rng.permutation(rows)]
        return dealt

    def __post_init__(self) -> None:
        assert self.labels.shape[0] == len(self.strata) == len(self.relations)


def language_task(facts: FactSet) -> Task:
    """Which language is the prompt in: one probe for all, every language with as many prompts.

    Raises:
        ConfigError: There is one language only.
    """
    languages = facts.languages
    if len(languages) < 2:
        raise ConfigError(
            f"One language ({', '.join(languages)}); a probe for the language needs at least 2."
        )
    labels = np.tile(np.arange(len(languages)), (len(facts), 1))
    blank = ("",) * len(facts)
    return Task("language", labels, languages, blank, blank, joint=True)


def answer_task(facts: FactSet, folds: int) -> Task:
    """Which of the relation's answers is right: a probe per relation and language, on answers of every fold.

    An answer is asked for when facts of at least ``folds`` groups have it, and a relation when two of its
    answers are.

    Raises:
        MeasurementError: No relation is left; says which answer is the most frequent.
    """
    groups: dict[tuple[str, str], set[str]] = {}
    for fact in facts:
        groups.setdefault((fact.relation, fact.object_id), set()).add(fact.group)
    often = {key for key, having in groups.items() if len(having) >= folds}
    many = {relation for relation, n in Counter(relation for relation, _ in often).items() if n > 1}
    frequent = [key for key in groups if key in often and key[0] in many]
    if not frequent:
        (relation, answer), most = max(groups.items(), key=lambda item: len(item[1]))
        raise MeasurementError(
            f"No relation has two answers that facts of {folds} groups share, one for each fold; the most "
            f"frequent answer is '{answer}' of '{relation}', in {len(most)}. Use fewer folds, or more facts."
        )
    number = {key: i for i, key in enumerate(frequent)}
    labels = [number.get((fact.relation, fact.object_id), UNASKED) for fact in facts]
    relations = tuple(fact.relation for fact in facts)
    missing = sum(label == UNASKED for label in labels)
    left_out = (
        [f"{missing} of {len(facts)} facts, whose answer fewer than {folds} groups share"] if missing else []
    )
    return Task(
        "answer",
        np.tile(np.array(labels)[:, None], (1, len(facts.languages))),
        tuple(answer for _, answer in frequent),
        relations,
        relations,
        joint=False,
        left_out=tuple(left_out),
    )


def right_task(facts: FactSet, credit: Float[np.ndarray, "fact language"], folds: int) -> Task:
    """Will the model be right: a probe per language, of those in which it is right and wrong often enough.

    Right is a credit of 1 in `interp.results.behavior`: the right option alone scores highest.

    Raises:
        MeasurementError: No language has facts of at least ``folds`` groups on both sides.
    """
    labels = (credit == 1).astype(np.int64)
    groups = np.array([fact.group for fact in facts])
    left_out = []
    for column, code in enumerate(facts.languages):
        fewest = min(len(set(groups[labels[:, column] == side])) for side in (0, 1))
        if fewest < folds:
            share = float(labels[:, column].mean())
            left_out.append(f"{code}, where the model is right in {share:.1%} of {len(facts)} facts")
            labels[:, column] = UNASKED
    if (labels == UNASKED).all():
        raise MeasurementError(
            f"No language has right and wrong answers in {folds} groups of facts each "
            f"({'; '.join(left_out)}). Use fewer folds, or more facts."
        )
    relations = tuple(fact.relation for fact in facts)
    strata: Sequence[str] = ("",) * len(facts)
    return Task("right", labels, ("wrong", "right"), tuple(strata), relations, False, tuple(left_out))
