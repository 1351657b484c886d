"""Mismatched facts: each fact's partner, another fact of its relation with another subject and another
answer.

What two languages share on a fact means nothing beside what they share on two different ones, so every fact
needs one to be compared with. Facts are paired off, each with one partner, which is its partner in turn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from interp.data.facts import Fact, FactSet
from interp.data.hashing import hash_key
from interp.errors import DataError

__all__ = ["Pairing", "pair_facts"]

_CHAINED = 6  # facts: clusters of this size are not joined to others


@dataclass(frozen=True)
class Pairing:
    """Facts two by two.

    Attributes:
        facts: Those that have a partner, partners side by side: 0 and 1, 2 and 3, ...
        clusters: Per fact, what it is resampled with. Partners share a cluster, and so do facts of one group.
        left_out: Facts without a partner.
    """

    facts: FactSet
    clusters: tuple[str, ...]
    left_out: int

    def partner(self, fact: int) -> int:
        """The position of a fact's partner."""
        return fact ^ 1


def pair_facts(facts: FactSet) -> Pairing:
    """Pair facts of one relation that differ in group and right answer, by the hash of their ids.

    A partner is looked for in a cluster that the fact already belongs to, and clusters that hold 6 facts or
    more are not joined: else a chain of partners would soon tie all facts together, and no interval could be
    had. A fact that finds none is left out.

    Raises:
        DataError: No two facts can be paired.
    """
    cluster = {fact.group: fact.group for fact in facts}
    size: Counter[str] = Counter()
    members: list[Fact] = []
    waiting = sorted(facts, key=lambda fact: (fact.relation, hash_key("partner", fact.fact_id)))
    while waiting:
        fact = waiting.pop(0)
        candidates = [
            (one != other, size[one] + size[other], place)
            for place, mate in enumerate(waiting)
            if _mismatched(fact, mate)
            for one, other in [(cluster[fact.group], cluster[mate.group])]
            if one == other or size[one] + size[other] < _CHAINED
        ]
        if not candidates:
            continue
        mate = waiting.pop(min(candidates)[2])
        members += [fact, mate]
        one, other = cluster[fact.group], cluster[mate.group]
        size[one] += 2 + (size.pop(other, 0) if one != other else 0)
        cluster.update({group: one for group, label in cluster.items() if label == other})
    if not members:
        raise DataError(
            f"No two of {len(facts)} facts share a relation and differ in subject and answer, so there is no "
            "level of chance. Ask more facts of each relation."
        )
    paired = FactSet(
        facts.name, tuple(members), facts.languages, facts.prompt_format, facts.aligned, facts.note
    )
    return Pairing(paired, tuple(cluster[fact.group] for fact in members), len(facts) - len(members))


def _mismatched(one: Fact, other: Fact) -> bool:
    same_kind = one.relation == other.relation
    return same_kind and one.group != other.group and one.object_id != other.object_id
