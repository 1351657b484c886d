"""What a fact is called in each language, in memory or left in its file until it is needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["StoredWording", "Wording", "worded"]


@dataclass(frozen=True)
class Wording:
    """One fact in one language.

    Attributes:
        question: The question, up to where the answer stands.
        subject: Name of what it is about.
        options: Names of the answers, in the order of the fact's ``option_ids``.
        suffix: What follows the answer in a cloze sentence.
        aliases: Other names of the right answer, which count as well.
    """

    question: str
    subject: str
    options: tuple[str, ...]
    suffix: str = ""
    aliases: tuple[str, ...] = ()


class StoredWording(Mapping[str, Wording]):
    """The wording of a fact of a large file: languages are known, texts are read when one is used."""

    __slots__ = ("_codes", "_fetch", "_place", "_texts")

    def __init__(self, codes: tuple[str, ...], fetch: Callable[[int], Mapping[str, Any]], place: int):
        self._codes, self._fetch, self._place = codes, fetch, place
        self._texts: dict[str, Wording] | None = None

    def __getitem__(self, code: str) -> Wording:
        if code not in self._codes:
            raise KeyError(code)
        if self._texts is None:
            row = self._fetch(self._place)
            self._texts = {code: worded(row[code]) for code in self._codes}
        return self._texts[code]

    def __contains__(self, code: object) -> bool:
        return code in self._codes

    def __iter__(self) -> Iterator[str]:
        return iter(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    def __repr__(self) -> str:
        return f"StoredWording({', '.join(self._codes)})"

    def restricted(self, codes: Collection[str]) -> StoredWording:
        """Return the wording in some of its languages, still in the file unless it was read."""
        there = StoredWording(tuple(code for code in codes if code in self), self._fetch, self._place)
        if self._texts is not None:
            there._texts = {code: self._texts[code] for code in there}
        return there


def worded(row: Mapping[str, Any]) -> Wording:
    """Return the wording of one language of a row that has passed the checks of `interp.data.schema`."""
    return Wording(
        row["question"],
        row["subject"],
        tuple(row["options"]),
        row.get("suffix") or "",
        tuple(row.get("aliases") or ()),
    )
