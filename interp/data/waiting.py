"""Places in a row of facts that wait for a partner, and which of them is the first with another answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from heapq import heappop, heappush, heapreplace

__all__ = ["Waiting"]


class Waiting:
    """Places with an answer each, in order; a place that no longer belongs here is dropped when it is met.

    Args:
        holds: Whether a place still belongs here; once it does not it is forgotten, and may be added again.
    """

    def __init__(self, holds: Callable[[int], bool]):
        self._holds = holds
        self._places: dict[str, list[int]] = defaultdict(list)
        self._first: list[tuple[int, str]] = []  # a place per answer, at or before the first that holds

    def add(self, place: int, answer: str) -> None:
        """Add a place."""
        heappush(self._places[answer], place)
        if self._places[answer][0] == place:
            heappush(self._first, (place, answer))

    def first(self, answer: str, skip: Callable[[int], bool] = lambda place: False) -> int | None:
        """Return the first place that has another answer and is not to be skipped, or None."""
        aside: list[tuple[int, str]] = []
        skipped: list[tuple[int, str]] = []
        first = None
        while self._first and first is None:
            place, other = self._first[0]
            here = self._places[other]
            while here and not self._holds(here[0]):
                heappop(here)
            if not here:
                heappop(self._first)
            elif here[0] != place:
                heapreplace(self._first, (here[0], other))
            elif other == answer:
                aside.append(heappop(self._first))
            elif skip(place):
                skipped.append((heappop(here), other))
            else:
                first = place
        for entry in aside:
            heappush(self._first, entry)
        for entry in skipped:
            self.add(*entry)
        return first
