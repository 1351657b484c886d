"""Answered questions before a question: the same for a whole relation, and in every language."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, islice

from interp.characters import visible
from interp.data.facts import Fact, FactSet
from interp.data.hashing import hash_key
from interp.data.prompts import Prompt, PromptSet, prompts_from_facts
from interp.data.rings import Ring, by_relation
from interp.errors import DataError

__all__ = ["demonstrations", "prompts_with_demonstrations"]


def demonstrations(fact: Fact, pool: FactSet, shots: int) -> list[Fact]:
    """Return the facts that are shown before a fact: of its relation, about another subject.

    They are the first ones of the relation by the hash of relation and id, so they depend on no language,
    checkpoint, order or seed, and are the same for all facts but those about a subject that is shown: their
    keys and values can be computed once.

    Raises:
        DataError: The relation has too few other facts.
    """
    of_relation = Ring(other for other in pool if other.relation == fact.relation)
    return _shown(fact, of_relation, shots)


def _shown(fact: Fact, of_relation: Ring, shots: int) -> list[Fact]:
    others = of_relation.others(fact.relation, lambda relation, other: hash_key(f"{relation}\n{other}"))
    shown = [*islice((other for other in others if other.subject_id != fact.subject_id), shots)]
    if len(shown) < shots:
        raise DataError(
            f"{shots} demonstrations for '{visible(fact.fact_id)}' need as many other facts of the relation "
            f"'{visible(fact.relation)}'; there are {len(shown)}. Take fewer, or more facts."
        )
    return shown


def prompts_with_demonstrations(
    facts: FactSet, *, pool: FactSet | None = None, shots: int = 0, prompt_format: str = "auto"
) -> PromptSet:
    """Render facts as prompts, each after ``shots`` answered questions.

    Questions with words around them are separated by a blank line, sentences by a line break.

    Args:
        facts: The questions.
        pool: What demonstrations are drawn from; the facts themselves by default. A fact is never shown
            before itself.
        shots: How many.
        prompt_format: See `interp.data.prompts.prompts_from_facts`.

    Raises:
        DataError: A relation has too few facts, or a fact lacks a language.
    """
    prompt_format = facts.prompt_format if prompt_format == "auto" else prompt_format
    plain = prompts_from_facts(facts, prompt_format=prompt_format)
    if not shots:
        return plain
    pool = facts if pool is None else pool.filter(languages=facts.languages)
    rings, nobody = by_relation(pool), Ring(())
    shown_ids = [
        [other.fact_id for other in _shown(fact, rings.get(fact.relation, nobody), shots)] for fact in facts
    ]
    needed = set(chain.from_iterable(shown_ids))
    pool = replace(pool, facts=tuple(other for other in pool if other.fact_id in needed))
    shown = prompts_from_facts(pool, prompt_format=prompt_format)
    between = "\n" if prompt_format == "none" else "\n\n"
    prompts = {}
    for code in facts.languages:
        answered = {
            fact.fact_id: prompt.full_text + fact.wording[code].suffix
            for fact, prompt in zip(pool, shown.prompts[code], strict=True)
        }
        prompts[code] = tuple(
            _after(prompt, between.join([*(answered[i] for i in ids), ""]))
            for prompt, ids in zip(plain.prompts[code], shown_ids, strict=True)
        )
    return replace(plain, prompts=prompts, note=f"{plain.note}, {shots} demonstrations")


def _after(prompt: Prompt, before: str) -> Prompt:
    return replace(prompt, text=before + prompt.text)
