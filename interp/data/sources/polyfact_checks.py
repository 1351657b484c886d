"""What rows of PolyFact say of one fact in several languages, or of two facts, that cannot all be true."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping

from interp.characters import visible
from interp.data.crossing import crossed, misplaced
from interp.data.equality import plain
from interp.data.sources.polyfact_rows import STATED, Entries, Entry, first_entry

__all__ = ["disagreements", "repeated_questions", "two_ids"]


def disagreements(facts: Mapping[str, Entries]) -> Iterator[tuple[str, str]]:
    """Find languages of a fact that say different things of it: place and message."""
    some_have_ids = any(entry.option_ids for entries in facts.values() for entry in entries.values())
    for entries in facts.values():
        first = first_entry(entries)
        for entry in entries.values():
            yield from _unlike_thefirst_entry(entry, first)
            if entry.option_ids is None:
                if some_have_ids:
                    yield entry.where, f"{entry.language}: option_ids is missing, which other rows have"
                continue
            yield from _ids_unlike_thefirst_entry(entry, first)
        if crossing := crossed(_by_id(entries)):
            yield first.where, f"by option_ids {visible(crossing, 200)}"


def _unlike_thefirst_entry(entry: Entry, first: Entry) -> Iterator[tuple[str, str]]:
    if entry.split != first.split:
        yield entry.where, f"split is '{entry.split}', and '{first.split}' in '{first.language}'"
    if entry.stated == first.stated:
        return
    for column, here, there in zip(STATED, entry.stated, first.stated, strict=True):
        if here and there and here != there:
            shown = f"'{visible(here, 60)}', and '{visible(there, 60)}' in '{first.language}'"
            yield entry.where, f"{entry.language}: {column} is {shown}"


def _ids_unlike_thefirst_entry(entry: Entry, first: Entry) -> Iterator[tuple[str, str]]:
    ids = entry.option_ids or ()
    if first.option_ids and set(ids) != set(first.option_ids):
        there = f"'{first.language}' has {', '.join(first.option_ids)}"
        yield entry.where, f"{entry.language}: option_ids is {', '.join(ids)}; {there}"
    answer = ids[entry.gold]
    expected = entry.object_id or (first.option_ids or ids)[first.gold]
    if answer != expected:
        yield entry.where, f"{entry.language}: the right option's id is {answer}, expected {expected}"


def two_ids(entries: Entries) -> bool:
    """Return whether a name that two languages share has an id of its own in each, as homonyms may."""
    return bool(misplaced(_by_id(entries)))


def _by_id(entries: Entries) -> dict[str, list[str]]:
    """Options in the order of the ids of the first language; nothing where ids are missing or others."""
    ids = first_entry(entries).option_ids
    if ids is None or any({*(entry.option_ids or ())} != {*ids} for entry in entries.values()):
        return {}
    return {
        c: [entry.options[(entry.option_ids or ()).index(i)] for i in ids] for c, entry in entries.items()
    }


def repeated_questions(facts: Mapping[str, Entries]) -> tuple[list[tuple[str, str]], list[str]]:
    """Find facts with the question and the right answer of another one in all languages that both have.

    Returns:
        Those that also have its options, in any order, as place and message, since they would count twice;
        and the ids of the others, whose wrong options are different ones.
    """
    first: dict[int, str] = {}
    more: dict[int, list[str]] = defaultdict(list)
    copies, others = [], []
    for fact_id, entries in facts.items():
        keys = {hash((code, _question_of(entry))) for code, entry in entries.items()}
        known = {first[key] for key in keys if key in first}.union(
            *(more[key] for key in keys if key in more)
        )
        alike = [other for other in sorted(known) if _alike(entries, facts[other], _question_of)]
        copied = [other for other in alike if _alike(entries, facts[other], _options)]
        for key in keys:
            if first.setdefault(key, fact_id) != fact_id:
                more[key].append(fact_id)
        if copied:
            there = f"'{visible(copied[0], 60)}' ({first_entry(facts[copied[0]]).where})"
            what = f"question, right answer and options are those of {there}, so it would count twice"
            copies.append((first_entry(entries).where, f"fact_id '{visible(fact_id, 60)}': {what}"))
        elif alike:
            others.append(fact_id)
    return copies, others


def _alike(one: Entries, other: Entries, what: Callable[[Entry], Hashable]) -> bool:
    return all(what(one[code]) == what(other[code]) for code in one.keys() & other.keys())


def _question_of(entry: Entry) -> Hashable:
    return plain(entry.question), plain(entry.options[entry.gold])


def _options(entry: Entry) -> Hashable:
    return frozenset(map(plain, entry.options))
