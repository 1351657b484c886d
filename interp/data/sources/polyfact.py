"""PolyFact, PolyFact-Clean and WIKI-FACT: questions with four options, in another order in every language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from pathlib import Path

from interp.characters import visible
from interp.data.facts import Fact, FactSet, Wording
from interp.data.hashing import Sample
from interp.data.languages import LANGUAGES, requested_languages
from interp.data.sources.configs import open_configs
from interp.data.sources.polyfact_alignment import covers, misaligned, read_alignment
from interp.data.sources.polyfact_checks import disagreements, repeated_questions, two_ids
from interp.data.sources.polyfact_rows import (
    N_OPTIONS,
    Entries,
    Entry,
    first_entry,
    row_entries,
    stated_languages,
)
from interp.data.sources.polyfact_sample import sampled_rows
from interp.data.sources.rows import Configs, Row, known_languages, listed, refuse
from interp.errors import ConfigError, DataError

__all__ = ["polyfact_facts"]

_WHOLE = (("parallel",), ("",))
"""Configurations that have all languages in one."""


def polyfact_facts(
    source: str,
    *,
    alignment: Path | None = None,
    languages: Collection[str] | None = None,
    sample: Sample | None = None,
) -> FactSet:
    """Return the facts, their options in one order in all languages.

    With ``option_ids`` (PolyFact-Clean) that order is English's, or the first language's, by id. Without,
    nothing says which wrong option is which (PolyFact, WIKI-FACT): the right answer is put first, the others
    follow as they stand, and the set is not aligned. An ``alignment`` file says it from outside; then the
    order is English's, and facts that it does not cover are left out. Options are never matched by their
    text.

    A fact that lacks a language stays; `FactSet.filter` decides about it. The group is the subject.

    Source: PolyFact, https://arxiv.org/abs/2606.06586.

    Args:
        source: Folder with a file or folder per language, or with the configuration ``parallel``; one file;
            or a hub id.
        alignment: JSON: fact id to language to, for each option in turn, its place in English.
        languages: The languages to read; all known ones when None.
        sample: Keep these facts alone, where all facts have all languages; the texts of the others are then
            not checked. Of no effect with an alignment, which may leave out facts.

    Raises:
        DataError: Rows are malformed; the first 20 are listed. Or a language is missing.
        ConfigError: The rows have ids, so an alignment does not apply.
        CapabilityError: The source needs a package that is not installed.
    """
    languages = requested_languages(languages)
    configs = open_configs(source)
    names, note = _configs_to_read(configs, languages, source)
    rows: Iterable[Row] = chain.from_iterable(configs[name]() for name in names)
    if sample is not None and alignment is None:
        few = sampled_rows(rows, sample, languages)
        rows = chain.from_iterable(configs[name]() for name in names) if few is None else few
    facts, present, n_rows, problems = _entries(rows, languages)
    refuse(source, problems, n_rows)
    copies, same = repeated_questions(facts)
    refuse(source, [*disagreements(facts), *copies], n_rows)
    codes, unknown = known_languages(present, languages, source)
    with_ids = any(entry.option_ids for entries in facts.values() for entry in entries.values())
    if alignment is not None and with_ids:
        raise ConfigError(
            f"'{visible(source)}' has option_ids, so an alignment file does not apply. Leave it out."
        )
    slots = None if alignment is None else read_alignment(alignment)
    covered = {key: entries for key, entries in facts.items() if slots is None or covers(slots, key, entries)}
    if slots is not None:
        refuse(str(alignment), misaligned(slots, covered), len(facts))
    if not covered:
        raise DataError(f"The alignment {visible(alignment)} covers no fact of '{visible(source)}'.")
    notes = [
        "" if with_ids or slots else "no option_ids: options are not aligned, and the right one stands first",
        f"options aligned by {alignment.name}" if alignment is not None else "",
        listed("facts left out that the alignment lacks", [key for key in facts if key not in covered]),
        listed(
            "facts that some language lacks",
            [k for k, entries in covered.items() if len(entries) < len(codes)],
        ),
        listed(
            "facts where one name has two ids",
            [key for key, entries in covered.items() if with_ids and two_ids(entries)],
        ),
        listed("facts with question and answer of another one", [key for key in same if key in covered]),
        listed(
            "facts of no split taken for test",
            [k for k, entries in covered.items() if not first_entry(entries).split],
        ),
        note,
        unknown if names in _WHOLE else "",
    ]
    return FactSet(
        "polyfact",
        tuple(_fact(entries, slots.get(key) if slots else None) for key, entries in covered.items()),
        codes,
        prompt_format="english",
        aligned=with_ids or slots is not None,
        note="; ".join(filter(None, notes)),
    )


def _configs_to_read(
    configs: Configs, languages: Collection[str] | None, source: str
) -> tuple[tuple[str, ...], str]:
    """Return the configurations to read: the one that has all languages, or one per language."""
    for whole in _WHOLE:
        if whole[0] in configs:
            others = sorted(set(configs) - {*whole})
            return whole, listed("other files or configurations not read", others)
    return known_languages(configs, languages, source)


def _entries(
    rows: Iterable[Row], languages: Collection[str] | None
) -> tuple[dict[str, Entries], set[str], int, list[tuple[str, str]]]:
    """Return fact id to language to entry; the languages there are; rows read; what is wrong."""
    facts: dict[str, Entries] = defaultdict(dict)
    present: set[str] = set()
    problems, n_rows = [], 0
    for row in rows:
        n_rows += 1
        present |= stated_languages(row)
        for entry in row_entries(row, LANGUAGES if languages is None else languages):
            if isinstance(entry, str):
                problems.append((row.where, entry))
                continue
            other = facts[entry.fact_id].setdefault(entry.language, entry)
            if other is not entry:
                which = f"fact_id '{visible(entry.fact_id, 60)}' in '{entry.language}'"
                problems.append((row.where, f"{which} is also that of {other.where}"))
    ordered = {
        key: {code: entries[code] for code in LANGUAGES if code in entries} for key, entries in facts.items()
    }
    return ordered, present, n_rows, problems


def _fact(entries: Entries, slots: Mapping[str, list[int]] | None) -> Fact:
    first = first_entry(entries)
    if first.option_ids:
        ids = first.option_ids
        orders = {code: [(entry.option_ids or ids).index(i) for i in ids] for code, entry in entries.items()}
        gold = first.gold
    else:
        gold = 0 if slots is None else slots[first.language][first.gold]
        orders = {code: _order(entry, slots) for code, entry in entries.items()}
        ids = tuple(
            (first.object_id or f"{first.fact_id}:right") if slot == gold else f"{first.fact_id}:{slot}"
            for slot in range(N_OPTIONS)
        )
    return Fact(
        fact_id=first.fact_id,
        relation=first.relation,
        subject_id=first.subject_id,
        object_id=ids[gold],
        option_ids=ids,
        split=first.split or "test",
        wording={
            code: Wording(entry.question, entry.subject, tuple(entry.options[i] for i in orders[code]))
            for code, entry in entries.items()
        },
    )


def _order(entry: Entry, slots: Mapping[str, list[int]] | None) -> list[int]:
    """Return the positions of the options in the order of the slots; without slots, the right one first."""
    if slots is None:
        return [entry.gold, *(i for i in range(N_OPTIONS) if i != entry.gold)]
    return [slots[entry.language].index(slot) for slot in range(N_OPTIONS)]
