"""What is wrong between rows of a facts file, found with a few numbers kept of each row."""

from __future__ import annotations

import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any

from interp.characters import visible
from interp.data.equality import plain
from interp.data.languages import LANGUAGES

__all__ = ["RowsTogether"]

_SPLIT_KEYS = ((("relation", "subject_id"), "relation and subject"), (("group",), "group"))

Problem = tuple[int, str, str, bool]
"""Row, fact id, message, whether the file is refused for it."""


class RowsTogether:
    """Rows seen so far, as what it takes to compare them: ids, keys that may not be in two splits, hashes.

    Rows that are malformed in themselves are compared as far as they go.
    """

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._first_id: dict[str, int] = {}
        self._first_key: list[dict[tuple[Any, ...], tuple[str, int]]] = [{} for _ in _SPLIT_KEYS]
        self._numbers = array("Q")
        self._ids: list[str] = []
        self._languages: list[frozenset[str]] = []
        self._known: dict[frozenset[str], frozenset[str]] = {}
        self._questions: dict[str, array[int]] = {}

    def add(self, number: int, row: dict[str, Any], texts: bool = True) -> None:
        """Take in a row with its number in the file; without ``texts``, its identifiers only."""
        fact_id = row.get("fact_id")
        fact_id = fact_id if isinstance(fact_id, str) else ""
        self._numbers.append(number)
        self._ids.append(fact_id)
        self._add_id(number, fact_id)
        self._add_keys(number, fact_id, row)
        wording = row.get("wording")
        wording = wording if isinstance(wording, dict) else {}
        codes = frozenset(code for code in wording if code in LANGUAGES)
        self._languages.append(self._known.setdefault(codes, codes))
        if texts:
            self._add_questions(codes, wording, row)

    @property
    def languages(self) -> frozenset[str]:
        """Known languages that occur."""
        return frozenset().union(*self._known)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong between the rows."""
        yield from self._problems
        yield from self._copies()
        yield from self._gaps()

    def _add_id(self, number: int, fact_id: str) -> None:
        other = self._first_id.setdefault(unicodedata.normalize("NFC", fact_id), number)
        if fact_id and other != number:
            self._problems.append((number, fact_id, f"fact_id is also that of row {other}", True))

    def _add_keys(self, number: int, fact_id: str, row: dict[str, Any]) -> None:
        """Find facts whose group, or whose relation and subject, also occur in another split."""
        split = row.get("split")
        for (names, what), first in zip(_SPLIT_KEYS, self._first_key, strict=True):
            key = tuple(row.get(name) for name in names)
            if not isinstance(split, str) or not all(isinstance(part, str) and part for part in key):
                continue
            other, where = first.setdefault(key, (split, number))
            if other != split:
                here, there = visible(split, 40), visible(other, 40)
                message = f"the {what} is in split '{here}' here and in '{there}' in row {where}"
                self._problems.append((number, fact_id, message, True))

    def _add_questions(self, codes: frozenset[str], wording: dict[str, Any], row: dict[str, Any]) -> None:
        for code in codes - self._questions.keys():
            self._questions[code] = array("q", bytes(8 * (len(self._ids) - 1)))
        for code, hashes in self._questions.items():
            hashes.append(_question_of(wording[code], row) if code in codes else 0)

    def _copies(self) -> Iterator[Problem]:
        """Find facts with subject, question and options of another one in all languages that both have.

        A row that was found to be at fault beside another one is passed over.
        """
        reported = {number for number, *_ in self._problems}
        pairs = sorted({pair for hashes in self._questions.values() for pair in _repeats(hashes)})
        for here, there in pairs:
            shared = self._languages[here] & self._languages[there]
            alike = all(self._questions[code][here] == self._questions[code][there] for code in shared)
            number, other = self._numbers[here], self._numbers[there]
            if alike and number not in reported:
                reported.add(number)
                name = visible(self._ids[there], 60)
                message = (
                    f"subject, question, answer and options are row {other}'s ({name}): it would count twice"
                )
                yield number, self._ids[here], message, True

    def _gaps(self) -> Iterator[Problem]:
        """Find facts that lack a language of others: a file can be used without it."""
        every = [code for code in LANGUAGES if code in self.languages]
        counts = Counter(code for codes in self._languages for code in codes)
        for number, fact_id, codes in zip(self._numbers, self._ids, self._languages, strict=True):
            if 0 < len(codes) < len(every):
                lacking = [f"'{code}' ({counts[code]} facts have it)" for code in every if code not in codes]
                yield number, fact_id, f"lacks a language of other facts: {', '.join(lacking)}", False


def _repeats(hashes: array[int]) -> Iterator[tuple[int, int]]:
    """Yield the places of a hash and of its first occurrence before it; 0 is no hash."""
    first: dict[int, int] = {}
    for place, value in enumerate(hashes):
        if value and first.setdefault(value, place) != place:
            yield place, first[value]


def _question_of(worded: Any, row: dict[str, Any]) -> int:
    """A hash of subject, question, right answer and options in a language; 0 where they are malformed."""
    ids = row.get("option_ids")
    try:
        options = [plain(option) for option in worded["options"]]
        right = options[ids.index(row["object_id"])]  # type: ignore[union-attr]
        return hash((row["subject_id"], plain(worded["question"]), right, *sorted(options))) or 1
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        return 0
