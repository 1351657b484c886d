"""Split by country, and the wrong answers of a fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import log

from interp.data.hashing import hash_key, hash_uniform
from interp.data.sources.cldr_build.filters import leaks_anywhere
from interp.data.sources.cldr_build.labels import Labels
from interp.data.sources.cldr_build.triples import Triple

N_DISTRACTORS = 3

WITHIN_SPLIT = frozenset(
    {"capital", "city_country", "tld_country", "city_currency", "city_language", "country_subregion"}
)
"""Relations whose answers differ between splits, since a split holds whole countries. Were their wrong
answers drawn from all splits, "the option least often right in training" would be right far above chance."""


def split_of(country: str) -> str:
    """Return the split of a country: 60 % train, 10 % validation, 30 % test, by hash."""
    place = hash_uniform("split", country)
    if place < 0.6:
        return "train"
    return "validation" if place < 0.7 else "test"


def with_options(
    triples: list[Triple], labels: dict[str, Labels]
) -> Iterable[tuple[Triple, tuple[str, ...]]]:
    """Yield the facts of one relation that have enough wrong answers, with their options in random order."""
    for triple in triples:
        peers = [
            peer
            for peer in triples
            if peer.relation not in WITHIN_SPLIT or split_of(peer.country) == split_of(triple.country)
        ]
        wrong = distractors(triple, Counter(peer.object for peer in peers), labels)
        if len(wrong) == N_DISTRACTORS:
            options = sorted(
                [triple.object, *wrong], key=lambda entity: hash_key("order", triple.fact_id, entity)
            )
            yield triple, tuple(options)


def distractors(triple: Triple, counts: Counter[str], labels: dict[str, Labels]) -> list[str]:
    """Draw wrong answers without replacement, each in proportion to how often it is right elsewhere.

    So the right answer is not the rare one among the four. The draw takes the largest u^(1/weight) with u
    uniform by hash; Source: Efraimidis and Spirakis (2006), https://doi.org/10.1016/j.ipl.2005.11.003
    """
    pool = [
        entity
        for entity in counts
        if entity != triple.object
        and entity not in triple.also_true
        and not leaks_anywhere(labels[triple.subject], labels[entity])
    ]
    return sorted(
        pool, key=lambda entity: -log(hash_uniform("draw", triple.fact_id, entity)) / counts[entity]
    )[:N_DISTRACTORS]
