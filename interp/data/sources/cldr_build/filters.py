"""What a raw fact must satisfy in every language at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from interp.data.hashing import hash_key
from interp.data.languages import EMBEDDED_LANGUAGES
from interp.data.similarity import fold
from interp.data.sources.cldr_build.labels import Labels
from interp.data.sources.cldr_build.leak import leaks
from interp.data.sources.cldr_build.scripts import foreign_letters
from interp.data.sources.cldr_build.triples import Triple

MAX_SHARE = 0.4
"""No answer may be right for a larger share of a relation's facts, if it has more than six answers."""

_FEW_ANSWERS = 6


def filtered(triples: list[Triple], labels: dict[str, Labels]) -> list[Triple]:
    """Return the facts of one relation that pass every filter, in order."""
    for keep in (fully_labeled, in_own_script, one_subject_per_name, one_answer_per_name, not_given_away):
        triples = keep(triples, labels)
    return without_a_dominant_answer(triples)


def fully_labeled(triples: list[Triple], labels: dict[str, Labels]) -> list[Triple]:
    """Keep facts whose subject and object have a name in every language."""
    complete = {entity for entity, names in labels.items() if len(names.text) == len(EMBEDDED_LANGUAGES)}
    return [triple for triple in triples if {triple.subject, triple.object} <= complete]


def in_own_script(triples: list[Triple], labels: dict[str, Labels]) -> list[Triple]:
    """Keep facts whose names are in the script of their language; internet domains are always Latin."""

    def native(entity: str) -> bool:
        names = labels[entity].text.items()
        return entity.startswith("tld:") or not any(foreign_letters(code, name) for code, name in names)

    return [triple for triple in triples if native(triple.subject) and native(triple.object)]


def one_subject_per_name(triples: list[Triple], labels: dict[str, Labels]) -> list[Triple]:
    """Keep facts whose subject shares its name with no other subject of another answer, in any language."""
    ambiguous = _colliding(triples, labels, lambda triple: triple.subject)
    return [triple for triple in triples if triple.subject not in ambiguous]


def one_answer_per_name(triples: list[Triple], labels: dict[str, Labels]) -> list[Triple]:
    """Keep facts whose object shares its name with no other object, in any language."""
    ambiguous = _colliding(triples, labels, lambda triple: triple.object)
    return [triple for triple in triples if triple.object not in ambiguous]


def _colliding(
    triples: list[Triple], labels: dict[str, Labels], entity_of: Callable[[Triple], str]
) -> set[str]:
    owners = defaultdict(set)
    for entity in {entity_of(triple) for triple in triples}:
        for code, name in labels[entity].text.items():
            owners[code, fold(name)].add(entity)
    return {entity for entities in owners.values() if len(entities) > 1 for entity in entities}


def not_given_away(triples: list[Triple], labels: dict[str, Labels]) -> list[Triple]:
    """Keep facts whose answer cannot be read off the subject's name in any language."""
    return [triple for triple in triples if not leaks_anywhere(labels[triple.subject], labels[triple.object])]


def leaks_anywhere(subject: Labels, option: Labels) -> bool:
    """Return whether subject and option share a string in any language."""
    return any(leaks(code, name, option.text[code]) for code, name in subject.text.items())


def without_a_dominant_answer(triples: list[Triple]) -> list[Triple]:
    """Drop facts, by hash, until no answer is right for more than `MAX_SHARE` of them."""
    counts = Counter(triple.object for triple in triples)
    if len(counts) <= _FEW_ANSWERS:
        return triples
    answer, count = counts.most_common(1)[0]
    # count - n <= MAX_SHARE (total - n), solved for the number n to drop
    excess = max(0, -int(-(count - MAX_SHARE * len(triples)) // (1 - MAX_SHARE)))
    ranked = sorted((t for t in triples if t.object == answer), key=lambda triple: hash_key(triple.fact_id))
    dropped = {triple.fact_id for triple in ranked[:excess]}
    return [triple for triple in triples if triple.fact_id not in dropped]
