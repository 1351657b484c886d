"""The rows of a few PolyFact facts, drawn while the source is read: the others are let go of at once."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterable

from interp.data.hashing import Sample, sample_key
from interp.data.languages import LANGUAGES
from interp.data.sources.polyfact_rows import stated_languages
from interp.data.sources.rows import Row, split_named, text

__all__ = ["sampled_rows"]


def sampled_rows(
    rows: Iterable[Row], sample: Sample, languages: Collection[str] | None = None
) -> list[Row] | None:
    """Return all rows of the facts that `FactSet.filter` would draw, fact by fact; None where all are needed.

    That is where some fact lacks a language or a row cannot be read, so that all that is wrong can be said.

    Args:
        rows: Of all facts, in any layout.
        sample: How many facts, and of which split.
        languages: Those that are asked for; all known ones when None.
    """
    wanted = set(LANGUAGES if languages is None else languages)
    found: dict[str, frozenset[str]] = {}
    sets: dict[frozenset[str], frozenset[str]] = {}  # facts have few different ones
    kept: dict[str, list[Row]] = {}
    drawn: list[tuple[bytes, str]] = []
    for row in rows:
        fact_id, stated = text(row.values, "fact_id"), stated_languages(row)
        codes, before = stated & wanted, found.get(fact_id, frozenset())
        if row.error or not fact_id or not stated or before & codes:
            return None
        if not codes:
            continue
        if not before and sample.split in ("all", _split(row)):
            kept[fact_id] = []
            insort(drawn, (sample_key(fact_id), fact_id))
            if len(drawn) > sample.limit:
                del kept[drawn.pop()[1]]
        if fact_id in kept:
            kept[fact_id].append(row)
        found[fact_id] = sets.setdefault(before | codes, before | codes)
    if len(set(found.values())) != 1 or not kept:
        return None
    return [row for of_fact in kept.values() for row in of_fact]


def _split(row: Row) -> str:
    return split_named(text(row.values, "split")) or row.split or "test"
