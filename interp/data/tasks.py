r"""What a model is to name: the answer of a fact, or a concept by translation, repetition or cloze.

| task          | last lines of the prompt, in Swahili                     | what continues it |
|---------------|----------------------------------------------------------|-------------------|
| `facts`       | ``Swali: Mji mkuu wa Norwe ni upi?\nJibu:``              | the answer        |
| `translation` | ``日本語: ノルウェー\nKiswahili:``                       | the word in Swahili |
| `repetition`  | ``Kiswahili: Norwe\nKiswahili:``                         | the same word     |
| `cloze`       | ``Swali: Mji wa Oslo uko katika nchi gani?\nJibu:``      | the concept that is described |

The last three show other concepts first, in the same form. Source: Wendler et al. (2024),
https://aclanthology.org/2024.acl-long.820, whose prompts have quotation marks in one line, and whose cloze
sentences were written by a model. Here the description is a question from the templates, so it exists in
every language.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from interp.characters import visible
from interp.data.controls import controlled
from interp.data.demonstrations import prompts_with_demonstrations
from interp.data.facts import FactSet
from interp.data.hashing import hash_key, hash_sample
from interp.data.languages import as_languages, language
from interp.data.lexicon import KINDS, Concept, concepts, require_lexicon, shown_before
from interp.data.prompts import Prompt, PromptSet
from interp.data.romanization import romanized
from interp.data.schema import SPLITS
from interp.data.sources import open_facts
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, DataError, nearest

__all__ = ["TASKS", "Task", "open_task", "sources_of"]

TASKS = ("facts", "translation", "repetition", "cloze")

SHOTS = {"facts": 0, "translation": 4, "repetition": 4, "cloze": 4}
"""Answered prompts that stand first by default; with a file of facts as many as with ``facts``."""

_DESCRIBED_BY = ("city_country", "country_language", "city_language", "country_currency", "city_currency")


@dataclass(frozen=True)
class Task:
    """Prompts, and what each is about.

    Attributes:
        prompts: In every language, the right word as the answer.
        subjects: Language to item to the name that the last question is about, as it stands in the prompt.
    """

    prompts: PromptSet
    subjects: Mapping[str, Mapping[str, str]]


def open_task(
    name: str,
    languages: str | Collection[str],
    *,
    pivot: str,
    split: str | None = None,
    limit: int | None = None,
    shots: int | None = None,
    prompt_format: str = "native",
    source: str = "",
    allow_missing: bool = False,
    control: str = "",
) -> Task:
    """Return the prompts of a task.

    Args:
        name: One of `TASKS`, or a file of facts (``.jsonl`` or ``.parquet``).
        languages: Of the prompts (codes, or a text such as ``en,sw``), in this order.
        pivot: The language that a translation avoids as its source.
        split: ``train``, ``validation`` or ``test``; None or ``all`` for all of them.
        limit: At most this many items, drawn by the hash of their ids.
        shots: Answered prompts that stand first; by default `SHOTS`.
        prompt_format: Words around a question, see `interp.data.prompts.prompts_from_facts`.
        source: Language translated from, see `sources_of`.
        allow_missing: Keep the facts that all languages have, where the alternative is an error.
        control: Romanized or shuffled prompts, see `interp.data.controls`.

    Raises:
        DataError: There is no such task, language or split, or too little to show.
        ConfigError: The prompt_format is unknown, or names are to be shuffled.
    """
    codes = as_languages(languages)
    if name not in TASKS and (meant := nearest(name, TASKS)):
        raise DataError(
            f"No prompts named '{visible(name)}'.{meant} Choose from: {', '.join(TASKS)}, or a file of facts."
        )
    splits = None if split in (None, "all") else [split]
    shots = SHOTS.get(name, 0) if shots is None else shots
    if name in ("translation", "repetition"):
        return _lexicon_task(name, codes, _sampled(concepts(), splits, limit), shots, pivot, source, control)
    facts = _described(cldr_facts()) if name == "cloze" else open_facts("cldr" if name == "facts" else name)
    selected = facts.filter(splits=splits, languages=codes, limit=limit, allow_missing=allow_missing)
    pool = facts.filter(languages=codes, allow_missing=allow_missing)
    if control:
        selected, pool = controlled(selected, control), controlled(pool if shots else selected, control)
    prompts = prompts_with_demonstrations(selected, pool=pool, shots=shots, prompt_format=prompt_format)
    subjects = {code: {fact.fact_id: fact.wording[code].subject for fact in selected} for code in codes}
    return Task(replace(prompts, name=name), subjects)


def sources_of(languages: Sequence[str], pivot: str, source: str = "") -> dict[str, str]:
    """Return target language to the language that it is translated from: neither itself nor the pivot.

    That is ``source`` where it is given and is not the target, else the first such language of the run.

    Raises:
        DataError: There is none.
    """
    preferred = (language(source).code,) if source else ()
    sources = {}
    for target in languages:
        fitting = [
            *(code for code in preferred if code != target),
            *(code for code in languages if code not in (target, pivot)),
        ]
        if not fitting:
            raise DataError(
                f"A translation into '{target}' needs a language to translate from, beside the target and "
                f"the pivot '{pivot}'. Add a language, or name one as the source."
            )
        sources[target] = fitting[0]
    return sources


def _lexicon_task(
    name: str,
    codes: tuple[str, ...],
    items: list[Concept],
    shots: int,
    pivot: str,
    source: str,
    control: str,
) -> Task:
    if control == "shuffled":
        raise ConfigError(f"The task '{name}' asks of names, which have no words to shuffle; leave it out.")
    sources = sources_of(codes, pivot, source) if name == "translation" else {code: code for code in codes}
    require_lexicon([*codes, *sources.values()])
    written = _written(control)
    items = [written(item) for item in items]
    shown = {item.concept_id: [*map(written, shown_before(item, concepts(), shots))] for item in items}
    prompts = {}
    for code in codes:
        line = _pair(sources[code], code, control)
        prompts[code] = tuple(
            Prompt(
                item_id=item.concept_id,
                language=code,
                text="".join(f"{line(other)} {other.names[code]}\n\n" for other in shown[item.concept_id])
                + line(item),
                answer=item.names[code],
                separator=" ",
                group=item.group,
            )
            for item in items
        )
    pairs = (
        ", ".join(f"{sources[code]} to {code}" for code in codes)
        if name == "translation"
        else "each to itself"
    )
    note = f"{len(items)} concepts, {shots} demonstrations, {pairs}"
    subjects = {code: {item.concept_id: item.names[sources[code]] for item in items} for code in codes}
    return Task(PromptSet(name, codes, prompts, parallel=True, note=note, control=control), subjects)


def _written(control: str) -> Callable[[Concept], Concept]:
    """A concept as its names are written under a control."""
    if not control:
        return lambda item: item
    return lambda item: replace(
        item, names={code: romanized(name, code) for code, name in item.names.items()}
    )


def _pair(first: str, second: str, control: str) -> Callable[[Concept], str]:
    one, other = (
        romanized(language(code).endonym, code) if control else language(code).endonym
        for code in (first, second)
    )
    return lambda concept: f"{one}: {concept.names[first]}\n{other}:"


def _sampled(items: Sequence[Concept], splits: list[str] | None, limit: int | None) -> list[Concept]:
    of_split = [item for item in items if splits is None or item.split in splits]
    if limit is not None and limit < 1:
        raise DataError(f"The limit is {limit} concepts; 1 or more are expected.")
    if not of_split:
        raise DataError(
            f"No concept is in the split '{visible(', '.join(splits or ()))}'. Choose from: "
            f"{', '.join(SPLITS)}, all."
        )
    return of_split if limit is None else hash_sample(of_split, limit, key=lambda item: item.concept_id)


def _described(facts: FactSet) -> FactSet:
    """One fact per concept that is the answer of one, drawn by hash; of the simpler relation."""
    prefixes = tuple(f"{prefix}:" for prefix in KINDS.values())
    ranked = sorted(
        (fact for fact in facts if fact.relation in _DESCRIBED_BY and fact.object_id.startswith(prefixes)),
        key=lambda fact: (_DESCRIBED_BY.index(fact.relation), hash_key("cloze", fact.fact_id)),
    )
    first = {fact.object_id: fact.fact_id for fact in reversed(ranked)}
    ids = set(first.values())
    return replace(facts, name="cloze", facts=tuple(fact for fact in facts if fact.fact_id in ids))
