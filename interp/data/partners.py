"""Mismatched facts: each fact's partner, another fact of its relation with another subject and another
answer.

What two languages share on a fact means nothing beside what they share on two different ones, so every fact
needs one to be compared with. Facts are paired off, each with one partner, which is its partner in turn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from interp.data.facts import Fact, FactSet
from interp.data.hashing import hash_key
from interp.data.priors import answer_key
from interp.data.waiting import Waiting
from interp.errors import DataError

__all__ = ["Pairing", "pair_facts"]

_FEW = 8  # facts of a group that are looked through one by one
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


class _Clusters:
    """Groups that are resampled together: the cluster of a group, and the paired facts of a cluster."""

    def __init__(self) -> None:
        self._cluster: dict[str, str] = {}
        self._groups: dict[str, list[str]] = {}
        self._size: dict[str, int] = defaultdict(int)

    def of(self, group: str) -> str:
        return self._cluster.get(group, group)

    def groups(self, cluster: str) -> list[str]:
        return self._groups.get(cluster, [cluster])

    def size(self, cluster: str) -> int:
        return self._size[cluster]

    def pair(self, one: str, other: str) -> None:
        """Put two facts more into one cluster, and the other cluster with them."""
        self._size[one] += 2
        if one != other:
            self._size[one] += self._size.pop(other, 0)
            joined = self.groups(other)
            self._groups[one] = [*self.groups(one), *joined]
            self._cluster.update(dict.fromkeys(joined, one))
            self._groups.pop(other, None)


class _Row:
    """The facts of one relation that wait for a partner, by group and by the size of their cluster.

    Whatever is looked for comes first in its queue, so that pairing n facts takes n log n steps.
    """

    def __init__(self, facts: list[Fact], answers: list[str], clusters: _Clusters):
        self._groups = [fact.group for fact in facts]
        self._answers, self._clusters = answers, clusters
        self._waits = [True] * len(facts)
        self._left = len(facts)
        self._n_waiting = Counter(self._groups)
        self._places: dict[str, list[int]] = defaultdict(list)
        self._by_group: dict[str, Waiting] = {}
        self._by_size = {size: Waiting(partial(self._has_size, size)) for size in range(0, _CHAINED, 2)}
        for place, group in enumerate(self._groups):
            self._places[group].append(place)
        for group in self._places:
            self._enter(group)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the places of partners."""
        for place in range(len(self._waits)):
            if self._waits[place]:
                self._take(place)
                mate = self._of_its_cluster(place)
                mate = self._of_another(place) if mate is None else mate
                if mate is not None:
                    self._take(mate)
                    self._join(place, mate)
                    yield place, mate

    def _take(self, place: int) -> None:
        self._waits[place] = False
        self._left -= 1
        self._n_waiting[self._groups[place]] -= 1

    def _of_its_cluster(self, place: int) -> int | None:
        group = self._groups[place]
        others = [other for other in self._clusters.groups(self._cluster(place)) if other != group]
        mates = [self._first_of(other, self._answers[place]) for other in others if self._n_waiting[other]]
        return min((mate for mate in mates if mate is not None), default=None)

    def _first_of(self, group: str, answer: str) -> int | None:
        """The first fact of a group that waits and has another answer."""
        places = self._places[group]
        if len(places) <= _FEW:
            return next((at for at in places if self._waits[at] and self._answers[at] != answer), None)
        if group not in self._by_group:
            self._by_group[group] = Waiting(self._waits.__getitem__)
            for place in places:
                self._by_group[group].add(place, self._answers[place])
        return self._by_group[group].first(answer)

    def _of_another(self, place: int) -> int | None:
        cluster = self._cluster(place)
        if self._left == sum(self._n_waiting[group] for group in self._clusters.groups(cluster)):
            return None
        for size in range(0, _CHAINED - self._clusters.size(cluster), 2):
            mate = self._by_size[size].first(self._answers[place], lambda at: self._cluster(at) == cluster)
            if mate is not None:
                return mate
        return None

    def _join(self, place: int, mate: int) -> None:
        cluster = self._cluster(place)
        self._clusters.pair(cluster, self._cluster(mate))
        for group in self._clusters.groups(cluster):
            self._enter(group)

    def _enter(self, group: str) -> None:
        """List the facts of a group by the size that its cluster now has."""
        size = self._clusters.size(self._clusters.of(group))
        for place in self._places.get(group, ()) if size < _CHAINED else ():
            if self._waits[place]:
                self._by_size[size].add(place, self._answers[place])

    def _cluster(self, place: int) -> str:
        return self._clusters.of(self._groups[place])

    def _has_size(self, size: int, place: int) -> bool:
        return self._waits[place] and self._clusters.size(self._cluster(place)) == size


def pair_facts(facts: FactSet) -> Pairing:
    """Pair facts of one relation that differ in group and right answer, by the hash of their ids.

    A partner is looked for in a cluster that the fact already belongs to, and clusters that hold 6 facts or
    more are not
    joined: else a chain of partners would soon tie all facts together, and no interval could be had. Of
    others the one in the smallest cluster is taken, and of those the first. A fact that finds none is left
    out. Answers are compared by id, or where ids are not shared by facts by name in the first language.

    Raises:
        DataError: No two facts can be paired.
    """
    ordered = sorted(facts, key=lambda fact: (fact.relation, hash_key("partner", fact.fact_id)))
    answer = answer_key(facts)
    clusters = _Clusters()
    members: list[Fact] = []
    for _, of_relation in groupby(ordered, key=lambda fact: fact.relation):
        row = [*of_relation]
        answers = [answer(fact, fact.answer_index) for fact in row]
        for one, other in _Row(row, answers, clusters).pairs():
            members += [row[one], row[other]]
    if not members:
        raise DataError(
            f"No two of {len(facts)} facts share a relation and differ in subject and answer, so there is no "
            "level of chance. Ask more facts of each relation."
        )
    paired = replace(facts, facts=tuple(members))
    return Pairing(paired, tuple(clusters.of(fact.group) for fact in members), len(facts) - len(members))
