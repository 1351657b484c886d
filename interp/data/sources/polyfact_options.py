"""The options of a PolyFact row in one language: names, ids, and which one is right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from interp.characters import visible
from interp.data.equality import equal_pairs, plain
from interp.data.sources.rows import text, text_fault

__all__ = ["LETTERS", "N_OPTIONS", "id_list_problems", "right_option", "row_ids", "row_options"]

LETTERS = "abcd"
N_OPTIONS = len(LETTERS)
_BROKEN = re.compile(
    "[\n\r\v\f\x1c-\x1e\x85\u2028\u2029\ud800-\udfff]"
)  # line ends, halves of surrogate pairs


def row_options(row: Mapping[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    """Return the options without white space around them, and what is wrong with them.

    They are in columns ``option_a`` to ``option_d``, or in ``options``: a list, or an object with the letters
    as keys.
    """
    columns = _names([row[f"option_{letter}"] for letter in LETTERS if f"option_{letter}" in row])
    options = _names(_of_letters(row.get("options")))
    for place, (here, there) in enumerate(zip_longest(columns, options)):
        if columns and options and here != there:
            shown = ["nothing" if name is None else f"'{visible(name, 60)}'" for name in (here, there)]
            return columns, [
                f"options has {shown[1]} where option_a to option_d have {shown[0]} (option {place})"
            ]
    names = columns or options
    return names, [] if _all_sound(names) else [*_name_problems(names)]


def _names(values: list[Any]) -> tuple[str, ...]:
    return tuple(option.strip() if isinstance(option, str) else "" for option in values)


def _of_letters(value: Any) -> list[Any]:
    """A list, also where it is an object of letters (in any order) or written as JSON in a column of text."""
    if not isinstance(value, Mapping):
        return row_ids(value) or []
    lettered = {str(key).strip().lower(): name for key, name in value.items()}
    if len(lettered) < len(value) or set(lettered) - set(LETTERS):
        return list(value.values())
    return [lettered[letter] for letter in LETTERS if letter in lettered]


def row_ids(value: Any) -> list[Any] | None:
    """Return a list, also one written as JSON in a column of text; None where there is none."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    return list(value) if isinstance(value, (list, tuple)) else None


def _all_sound(names: tuple[str, ...]) -> bool:
    """Whether `_name_problems` has nothing to say, in one look."""
    return (
        len(names) == N_OPTIONS == len(set(map(plain, names)))
        and all(names)
        and not _BROKEN.search("".join(names))
    )


def _name_problems(names: tuple[str, ...]) -> Iterator[str]:
    if len(names) != N_OPTIONS:
        yield f"{len(names)} options, expected {N_OPTIONS}"
    for position, option in enumerate(names):
        if fault := text_fault(option):
            yield f"option {position} {fault}"
        elif len(option.splitlines()) > 1:
            yield f"option {position} is '{visible(option, 60)}', of several lines"
    for before, position in equal_pairs(names):
        one, other = visible(names[before], 60), visible(names[position], 60)
        if names[before] == names[position] and names[position]:
            yield f"option {position} is '{other}', as option {before}"
        elif names[position]:
            yield f"option {position} is '{other}', which to a reader is option {before}, '{one}'"


def id_list_problems(ids: list[Any] | None) -> Iterator[str]:
    """Yield what is wrong with ``option_ids``."""
    if ids is not None and (
        len(set(map(str, ids))) != N_OPTIONS or not all(isinstance(i, str) and i.strip() for i in ids)
    ):
        yield f"option_ids is {visible(ids, 80)}, expected {N_OPTIONS} different ids"


def right_option(row: Mapping[str, Any], options: tuple[str, ...]) -> tuple[int, list[str]]:
    """Return the place of the right option, and what is wrong with how the row says it."""
    index, answer = row.get("answer_index"), text(row, "answer_text")
    number = int(index) if isinstance(index, str) and index.strip().isdecimal() else index
    problems = []
    if number is not None and (type(number) is not int or not 0 <= number < N_OPTIONS):
        problems.append(f"answer_index is {visible(index, 40)}, expected 0 to {N_OPTIONS - 1}")
    elif answer and answer not in options:
        problems.append(f"answer_text '{visible(answer, 60)}' is not among the options")
    elif number is None and not answer:
        problems.append("neither answer_index nor answer_text")
    elif number is not None and answer and number < len(options) and options[number] != answer:
        indexed = f"answer_index {number} is '{visible(options[number], 60)}'"
        problems.append(f"{indexed}, and answer_text is '{visible(answer, 60)}'")
    if problems:
        return 0, problems
    return (number if number is not None else options.index(answer)), []
