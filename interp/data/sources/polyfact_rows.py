"""The three schemas of PolyFact, by their columns, as one: a question with four options in one language."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interp.data.characters import visible
from interp.data.languages import LANGUAGES
from interp.data.schema import SPLITS
from interp.data.sources.rows import Row, split_named, text, text_fault, text_problems

__all__ = ["N_OPTIONS", "Entries", "Entry", "row_entries", "stated_languages"]

N_OPTIONS = 4
_OPTIONS = tuple(f"option_{letter}" for letter in "abcd")


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
    where: str


Entries = dict[str, Entry]
"""One fact: language to entry, in the order of `LANGUAGES`."""


def row_entries(row: Row, languages: Collection[str]) -> Iterator[Entry | str]:
    """Yield the entries of a row: one of a flat row, one per language of ``translations`` or ``langs``; or
    what is wrong.

    Only the given languages are looked at; one whose block is empty is left out.
    """
    if row.error:
        yield row.error
        return
    values, block = row.values, _block(row)
    shared = list(text_problems(values, ("fact_id",)))
    split = text(values, "split")
    if split and not split_named(split):
        shared.append(f"split is '{visible(split, 40)}', expected {', '.join(SPLITS)}")
    if shared:
        yield from shared
    elif block is None:
        yield from _flat(row, languages)
    elif not isinstance(block, dict):
        yield "translations or langs: expected an object with a key per language"
    elif not any(block.get(code) for code in LANGUAGES):
        yield f"no known language in {visible(', '.join(map(str, block)), 60) or 'an empty block'}"
    else:
        for code in languages:
            if block.get(code):
                yield from _entry(row, code, block[code])


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


def _flat(row: Row, languages: Collection[str]) -> Iterator[Entry | str]:
    stated = text(row.values, "language")
    code = stated or row.config
    if stated and row.config in LANGUAGES and stated != row.config:
        yield f"language is '{visible(stated, 40)}' in the rows of '{row.config}'"
    elif not code:
        yield "'language' is missing"
    elif code in languages:
        yield from _entry(row, code, row.values)


def _entry(row: Row, code: str, block: Any) -> Iterator[Entry | str]:
    if not isinstance(block, dict):
        yield f"{code}: expected an object"
        return
    options = _options(block)
    ids = _sequence(block.get("option_ids"))
    problems = [*text_problems(block, ("question",)), *_option_problems(options), *_id_problems(ids)]
    gold, problems_of_gold = _gold(block, options)
    problems += problems_of_gold
    if problems:
        prefix = "" if block is row.values else f"{code}: "
        yield from (f"{prefix}{problem}" for problem in problems)
        return
    values = row.values
    parts = text(values, "fact_id").split("|")
    parts = parts if len(parts) == 3 else ["", "", ""]
    subject = text(block, "subject") or text(values, "subject")
    yield Entry(
        fact_id=text(values, "fact_id"),
        language=code,
        split=_split(row),
        relation=text(values, "relation") or parts[1] or "unnamed",
        subject_id=text(values, "subject_id") or parts[0] or subject or text(values, "fact_id"),
        object_id=text(values, "object_id") or parts[2],
        subject=subject,
        question=text(block, "question"),
        options=options,
        gold=gold,
        option_ids=tuple(ids) if ids is not None else None,
        where=row.where,
    )


def _split(row: Row) -> str:
    return split_named(text(row.values, "split")) or row.split


def _options(block: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the options, stripped: columns ``option_a`` to ``option_d``, or the list ``options``."""
    columns = [key for key in _OPTIONS if key in block]
    listed = _sequence(block.get("options")) or []
    texts = [block[key] for key in columns] if columns else listed
    return tuple(option.strip() if isinstance(option, str) else "" for option in texts)


def _sequence(value: Any) -> list[Any] | None:
    """Return a list, also one written as JSON in a column of text."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    return list(value) if isinstance(value, (list, tuple)) else None


def _option_problems(options: tuple[str, ...]) -> Iterator[str]:
    if len(options) != N_OPTIONS:
        yield f"{len(options)} options, expected {N_OPTIONS}"
    for position, option in enumerate(options):
        if fault := text_fault(option):
            yield f"option {position} {fault}"
        elif option in options[:position]:
            yield f"option {position} is '{visible(option, 60)}', as option {options.index(option)}"


def _id_problems(ids: list[Any] | None) -> Iterator[str]:
    if ids is not None and (
        len(set(map(str, ids))) != N_OPTIONS or not all(isinstance(i, str) and i for i in ids)
    ):
        yield f"option_ids is {visible(ids, 80)}, expected {N_OPTIONS} different ids"


def _gold(block: Mapping[str, Any], options: tuple[str, ...]) -> tuple[int, list[str]]:
    """Return the place of the right option, and what is wrong with how the row says it."""
    index, answer = block.get("answer_index"), text(block, "answer_text")
    number = int(index) if isinstance(index, str) and index.strip().isdecimal() else index
    problems = []
    if number is not None and (type(number) is not int or not 0 <= number < N_OPTIONS):
        problems.append(f"answer_index is {visible(index, 40)}, expected 0 to {N_OPTIONS - 1}")
    elif answer and answer not in options:
        problems.append(f"answer_text '{visible(answer, 60)}' is not among the options")
    elif number is None and not answer:
        problems.append("neither answer_index nor answer_text")
    elif number is not None and answer and number < len(options) and options[number] != answer:
        problems.append(
            f"answer_index {number} is '{visible(options[number], 60)}', and answer_text is "
            f"'{visible(answer, 60)}'"
        )
    if problems:
        return 0, problems
    return (number if number is not None else options.index(answer)), []
