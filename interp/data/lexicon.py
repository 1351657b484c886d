"""The concept lexicon: what countries, languages and currencies are called in the languages of the embedded
facts.

The names are CLDR's. Those of the embedded facts are taken from there; a small file beside it holds the rest
(`interp.data.sources.cldr_build.lexicon` writes it).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from interp.characters import visible
from interp.data.hashing import hash_key
from interp.data.languages import language as known_language
from interp.data.romanization import romanized
from interp.data.sources.cldr import cldr_facts
from interp.data.sources.cldr_build.options import split_of
from interp.errors import DataError, nearest

__all__ = ["KINDS", "Concept", "concepts", "names_in", "require_lexicon", "shown_before"]

LEXICON_FILE = "cldr_lexicon.json"

KINDS = {"country": "territory", "language": "language", "currency": "currency"}
"""Kind of concept to the prefix of its identifiers."""


@dataclass(frozen=True)
class Concept:
    """One thing with its names.

    Attributes:
        concept_id: As in the facts, such as ``territory:NO``.
        kind: ``country``, ``language`` or ``currency``.
        names: Language code to name; all languages of the embedded facts.
        split: ``train``, ``validation`` or ``test``; of a country, that of the facts about it.
        group: What it is resampled with: the country, or itself.
    """

    concept_id: str
    kind: str
    names: Mapping[str, str]
    split: str
    group: str


@cache
def concepts(kinds: Collection[str] = tuple(KINDS)) -> tuple[Concept, ...]:
    """Return the concepts of some kinds, by kind and then in alphabetical order of their identifiers.

    Raises:
        DataError: There is no such kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise DataError(
                f"No concepts of the kind '{visible(kind)}'.{nearest(kind, KINDS)} Choose from: "
                f"{', '.join(KINDS)}."
            )
    names = {**cldr_facts().labels(), **_added()}
    return tuple(
        _concept(kind, entity, names[entity])
        for kind in KINDS
        if kind in kinds
        for entity in sorted(names)
        if entity.startswith(f"{KINDS[kind]}:")
    )


def names_in(language: str, control: str = "") -> tuple[str, ...]:
    """Return what all concepts are called in a language; nothing where the lexicon lacks the language.

    Args:
        language: Which.
        control: Whether names are romanized, as the prompts are (`interp.data.controls`).
    """
    names = tuple(concept.names[language] for concept in concepts() if language in concept.names)
    return tuple(romanized(name, language) for name in names) if control == "romanized" else names


def require_lexicon(languages: Collection[str]) -> None:
    """Refuse languages that the lexicon lacks.

    Raises:
        DataError: There is one.
    """
    names = concepts()[0].names
    if absent := [
        f"{known_language(code).name} ({code})" for code in dict.fromkeys(languages) if code not in names
    ]:
        raise DataError(
            f"The concept lexicon has no names in {', '.join(absent)}. Choose from: {', '.join(names)}."
        )


def shown_before(concept: Concept, pool: Collection[Concept], shots: int) -> list[Concept]:
    """Return the concepts that are shown before one: of its kind, by the hash of both identifiers, never
    itself.

    Raises:
        DataError: There are too few.
    """
    others = [
        other for other in pool if other.kind == concept.kind and other.concept_id != concept.concept_id
    ]
    if len(others) < shots:
        raise DataError(
            f"{shots} demonstrations need as many other concepts of the kind '{concept.kind}'; there are "
            f"{len(others)}. Take fewer demonstrations."
        )
    return sorted(others, key=lambda other: hash_key("shown", concept.concept_id, other.concept_id))[:shots]


def _concept(kind: str, entity: str, names: Mapping[str, str]) -> Concept:
    group = entity.partition(":")[2] if kind == "country" else entity
    return Concept(entity, kind, names, split_of(group), group)


def _added() -> dict[str, dict[str, str]]:
    file = resources.files("interp.data") / "resources" / LEXICON_FILE
    return json.loads(file.read_text(encoding="utf-8"))["entities"]
