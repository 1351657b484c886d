"""Other facts of a relation in an order that hash decides, without comparing every two facts."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from interp.data.facts import Fact
from interp.data.hashing import hash_key

__all__ = ["SEARCHED", "Ring", "by_relation"]

SEARCHED = 256
"""Facts up to which every two are drawn by a hash of both; among more, each is hashed once."""

Draw = Callable[[str, str], bytes]
"""Of the ids of a fact and another: what the other is sorted by."""


class Ring:
    """Facts in a circle, by the hash of their ids.

    With few facts, every fact has an order of its own of all others. With more, it has those that follow it
    in the circle: n facts then take n hashes instead of n^2. Neither depends on the order of the facts given.
    """

    def __init__(self, facts: Iterable[Fact]):
        hashed = sorted(((hash_key("ring", fact.fact_id), fact) for fact in facts), key=lambda pair: pair[0])
        self.facts = [fact for _, fact in hashed]
        self._hashes = [key for key, _ in hashed]

    def __len__(self) -> int:
        return len(self.facts)

    @property
    def is_small(self) -> bool:
        """Whether every fact has an order of its own."""
        return len(self) <= SEARCHED

    def others(self, fact_id: str, draw: Draw) -> Iterator[Fact]:
        """Yield all facts but one, in the order that is drawn for it; the one need not be in the circle."""
        if self.is_small:
            others = [fact for fact in self.facts if fact.fact_id != fact_id]
            yield from sorted(others, key=lambda fact: draw(fact_id, fact.fact_id))
            return
        start = bisect_right(self._hashes, hash_key("ring", fact_id))
        for step in range(len(self)):
            fact = self.facts[(start + step) % len(self)]
            if fact.fact_id != fact_id:
                yield fact

    def next_unlike(self, answers: Sequence[str]) -> list[int | None]:
        """Return for each place in the circle the next place with another answer; None where there is none.

        Args:
            answers: Per place.
        """
        size = len(self)
        found: list[int | None] = [None] * size
        following: int | None = None
        for place in reversed(range(2 * size)):
            after = (place + 1) % size
            if answers[after] != answers[place % size]:
                following = after
            found[place % size] = following
        return found


def by_relation(facts: Iterable[Fact]) -> dict[str, Ring]:
    """Return a circle for the facts of every relation."""
    members: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        members[fact.relation].append(fact)
    return {relation: Ring(of_relation) for relation, of_relation in members.items()}
