"""An alignment file: which option of a language is which option of the English question."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.data.crossing import misplaced
from interp.data.files import no_key_twice
from interp.data.sources.polyfact_rows import N_OPTIONS, Entries
from interp.errors import DataError

__all__ = ["Alignment", "covers", "misaligned", "read_alignment"]

Alignment = dict[str, dict[str, list[int]]]


def read_alignment(path: Path) -> Alignment:
    """Return what a file says: fact id to language to, for each option in turn, its place in English.

    Raises:
        DataError: It cannot be read, or has another form.
    """
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=no_key_twice)
    except (OSError, ValueError) as error:
        raise DataError(f"The alignment {visible(path)} cannot be read: {visible(error)}") from error
    if not isinstance(table, dict) or not all(isinstance(places, dict) for places in table.values()):
        raise DataError(f"The alignment {visible(path)} is not an object of fact id to language to places.")
    return table


def covers(slots: Alignment, key: str, entries: Entries) -> bool:
    """Return whether an alignment has a fact in all its languages."""
    return all(slots.get(key, {}).get(code) is not None for code in entries)


def misaligned(
    slots: Mapping[str, Mapping[str, list[int]]], facts: Mapping[str, Entries]
) -> Iterator[tuple[str, str]]:
    """Find places that are no order of four, or move the right answer or a name: it is of other data."""
    for key, entries in facts.items():
        wrong = [code for code in entries if not _is_order(slots[key][code])]
        if wrong:
            yield (
                key,
                f"places in '{wrong[0]}' are {visible(slots[key][wrong[0]], 40)}, expected 0 to 3, each once",
            )
            continue
        gold = {code: slots[key][code][entry.gold] for code, entry in entries.items()}
        first = next(iter(gold))
        moved = [(code, place) for code, place in gold.items() if place != gold[first]]
        for code, place in moved:
            yield key, f"the right answer is in place {place} in '{code}' and {gold[first]} in '{first}'"
        order = {
            code: [entry.options[slots[key][code].index(place)] for place in range(N_OPTIONS)]
            for code, entry in entries.items()
        }
        if not moved and (problem := misplaced(order)):
            yield key, visible(problem)


def _is_order(places: object) -> bool:
    return isinstance(places, list) and sorted(map(repr, places)) == [
        repr(place) for place in range(N_OPTIONS)
    ]
