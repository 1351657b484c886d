"""The three schemas of PolyFact, by their columns, as one: a question with four options in one language."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interp.characters import visible
from interp.data.languages import LANGUAGES
from interp.data.schema import SPLITS
from interp.data.sources.polyfact_options import (
    N_OPTIONS,
    id_list_problems,
    right_option,
    row_ids,
    row_options,
)
from interp.data.sources.rows import Row, split_named, text, text_problems
from interp.data.text_rules import id_problems

_PROPERTY = re.compile(r"P\d+")

__all__ = ["N_OPTIONS", "STATED", "Entries", "Entry", "first_entry", "row_entries", "stated_languages"]

STATED = ("relation", "subject", "object", "subject_id", "property_id", "object_id")
"""Columns that are the same in all languages; subject and object are English names there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact in one language.

    Attributes:
        fact_id: Of the fact.
        language: Language code.
        split: ``train``, ``validation`` or ``test``; empty where nothing says.
        relation: Between subject and answer.
        subject_id: Id of the subject, or its name where it has none.
        object_id: Id of the answer, or empty.
        subject: Name of the subject.
        question: In words.
        options: Names of the four answers.
        gold: Place of the right one, from 0.
        option_ids: Their ids; None where the schema has none.
        stated: What the row has in the columns `STATED`; empty where it has nothing.
        where: Place in the data, for a message.
    """

    fact_id: str
    language: str
    split: str
    relation: str
    subject_id: str
    object_id: str
    subject: str
    question: str
    options: tuple[str, ...]
    gold: int
    option_ids: tuple[str, ...] | None
    stated: tuple[str, ...]
    where: str


Entries = dict[str, Entry]


def first_entry(entries: Entries) -> Entry:
    """Return the entry of whichever language came first."""
    return next(iter(entries.values()))


"""One fact: language to entry, in the order of `LANGUAGES`."""


def row_entries(row: Row, languages: Collection[str]) -> Iterator[Entry | str]:
    """Yield the entries of a row: one of a flat row, one per language of ``translations`` or ``langs``; or
    what is wrong.

    Only the given languages are looked at; one whose block is empty is left out.
    """
    if row.error:
        yield row.error
        return
    block = _block(row)
    shared, problems = _shared(row)
    if problems:
        yield from problems
    elif block is None:
        yield from _flat(row, shared, languages)
    elif not isinstance(block, dict):
        yield "translations or langs: expected an object with a key per language"
    elif not any(block.get(code) for code in LANGUAGES):
        yield f"no known language in {visible(', '.join(map(str, block)), 60) or 'an empty block'}"
    else:
        for code in languages:
            if block.get(code):
                yield from _entry(shared, code, block[code], f"{code}: ")


def _shared(row: Row) -> tuple[dict[str, Any], list[str]]:
    """Return what a row says of its fact in all languages, and what is wrong with that."""
    values = row.values
    problems = [*text_problems(values, ("fact_id",))]
    split = text(values, "split")
    if split and not split_named(split):
        problems.append(f"split is '{visible(split, 40)}', expected {', '.join(SPLITS)}")
    if not problems:
        problems += _id_problems(values)
    fact_id, (subject_id, property_id, object_id) = text(values, "fact_id"), _id_parts(values)
    subject = text(values, "subject")
    shared = {
        "fact_id": fact_id,
        "split": split_named(split) or row.split,
        "relation": text(values, "relation") or property_id or "unnamed",
        "subject_id": text(values, "subject_id") or subject_id,
        "object_id": text(values, "object_id") or object_id,
        "subject": subject,
        "stated": tuple(sys.intern(text(values, key)) for key in STATED),
        "where": row.where,
    }
    return shared, problems


def _id_problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Find ids unlike those in a fact id of the form subject|property|object, and rows in two schemas."""
    if all(values.get(key) is not None for key in ("translations", "langs")):
        yield "both translations and langs, which are two schemas"
    yield from id_problems("fact_id", text(values, "fact_id"))
    subject, of_id, answer = _id_parts(values)
    ids = {"subject_id": subject, "property_id": of_id, "object_id": answer}
    if _PROPERTY.fullmatch(text(values, "relation")) and _PROPERTY.fullmatch(of_id):
        ids["relation"] = of_id
    for key, part in ids.items():
        stated = text(values, key)
        if stated and part and stated != part:
            name = visible(text(values, "fact_id"), 60)
            yield f"{key} is '{visible(stated, 60)}', and fact_id '{name}' has '{visible(part, 60)}'"


def _id_parts(values: Mapping[str, Any]) -> list[str]:
    """Subject, property and object of a fact id that has the three; else three empty texts."""
    parts = text(values, "fact_id").split("|")
    return parts if len(parts) == 3 else ["", "", ""]


def stated_languages(row: Row) -> set[str]:
    """Return the languages that a row says it is in, known or not."""
    block = _block(row)
    if isinstance(block, dict):
        return {str(code) for code, values in block.items() if values}
    return {code} if (code := text(row.values, "language") or row.config) else set()


def _block(row: Row) -> Any:
    return next(
        (row.values[key] for key in ("translations", "langs") if row.values.get(key) is not None), None
    )


def _flat(row: Row, shared: dict[str, Any], languages: Collection[str]) -> Iterator[Entry | str]:
    stated = text(row.values, "language")
    code = stated or row.config
    if stated and row.config in LANGUAGES and stated != row.config:
        yield f"language is '{visible(stated, 40)}' in the rows of '{row.config}'"
    elif not code:
        yield "'language' is missing"
    elif code in languages:
        yield from _entry(shared, code, row.values, "")


def _entry(shared: dict[str, Any], code: str, block: Any, prefix: str) -> Iterator[Entry | str]:
    if not isinstance(block, dict):
        yield f"{code}: expected an object"
        return
    options, problems = row_options(block)
    ids = row_ids(block.get("option_ids"))
    gold, unclear = right_option(block, options)
    problems = [*text_problems(block, ("question",)), *problems, *id_list_problems(ids), *unclear]
    if problems:
        yield from (f"{prefix}{problem}" for problem in problems)
        return
    subject = text(block, "subject") or shared["subject"]
    texts = {
        "subject": subject,
        "subject_id": shared["subject_id"] or subject or shared["fact_id"],
        "question": text(block, "question"),
        "options": options,
        "gold": gold,
        "option_ids": tuple(ids) if ids is not None else None,
    }
    yield Entry(language=code, **{**shared, **texts})
