"""What a text of a facts file must be: readable, not too long, nothing hidden, told apart from others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from interp.characters import control_characters, has_control, visible
from interp.data.equality import equal_pairs, hidden_characters, plain
from interp.data.normalization import normalize

__all__ = [
    "MAX_LENGTH",
    "id_problems",
    "ids_pass",
    "kind_of",
    "name_problems",
    "names_pass",
    "repeated",
    "text_problems",
    "texts_pass",
]

MAX_LENGTH = 2000
"""Characters in one text; a longer one is taken for an accident."""


def text_problems(where: str, value: Any, lines: bool = False) -> list[str]:
    """Return what is wrong with a text; ``lines``: whether it may have line feeds."""
    if not isinstance(value, str):
        return [f"{where}: expected a text, found {kind_of(value)}"]
    problems = []
    if not value.strip():
        problems.append(f"{where} is empty")
    if len(value) > MAX_LENGTH:
        problems.append(f"{where} has {len(value)} characters; at most {MAX_LENGTH} are allowed")
    controls = control_characters(value.replace("\n", " ") if lines else value)
    if controls:
        problems.append(f"{where} has control characters: {', '.join(controls[:5])}")
    return problems


def id_problems(where: str, value: Any) -> list[str]:
    """Return what is wrong with an identifier: a text with nothing invisible in or around it."""
    problems = text_problems(where, value)
    if problems:
        return problems
    if value != value.strip():
        problems.append(f"{where} has white space around it: '{visible(value, 60)}'")
    if hidden := hidden_characters(value):
        problems.append(f"{where} has characters that are not seen: {', '.join(hidden[:5])}")
    return problems


def texts_pass(texts: Sequence[Any]) -> bool:
    """Return whether `text_problems` has nothing to say of several texts, in one look."""
    if not set(map(type, texts)) <= {str}:
        return False
    return (
        all(map(str.strip, texts)) and max(map(len, texts)) <= MAX_LENGTH and not has_control("".join(texts))
    )


def ids_pass(texts: Sequence[Any]) -> bool:
    """Return whether `id_problems` has nothing to say of several identifiers, in one look."""
    if not texts or not texts_pass(texts):
        return not texts
    return [*map(str.strip, texts)] == [*texts] and not hidden_characters("".join(texts))


def names_pass(names: Sequence[Any]) -> bool:
    """Return whether `name_problems` has nothing more to say of names that are sound texts, in one look."""
    if set(map(type, names)) != {str} or len(set(map(plain, names))) < len(names):
        return False
    return all(_is_letter(name[:1]) for name in names)


def name_problems(where: str, names: Sequence[Any]) -> Iterator[str]:
    """Yield what is wrong with the names of answers, which a reader and a matcher must tell apart."""
    for position, name in enumerate(names):
        problems = text_problems(f"{where}[{position}]", name)
        yield from problems
        if not problems and not (_is_letter(name[0]) or normalize(name)):
            shown = visible(name, 60)
            yield f"{where}[{position}] is '{shown}': no letter or digit for a completion to name it by"
    yield from repeated(where, names)
    if all(isinstance(name, str) for name in names):
        for one, other in equal_pairs(names):
            if names[one] != names[other]:
                shown = f"'{visible(names[one], 60)}' and '{visible(names[other], 60)}'"
                why = "one name to a reader (case, Unicode form, white space)"
                yield f"{where}[{one}] and [{other}] are {shown}: {why}"


def _is_letter(character: str) -> bool:
    """Whether a character is a letter or digit, and not one of the few that `normalize` drops."""
    return character.isalnum() and bool(normalize(character))


def repeated(where: str, values: Sequence[Any]) -> Iterator[str]:
    """Yield texts that are in a list more than once."""
    texts = [value for value in values if isinstance(value, str)]
    if len(set(texts)) < len(texts):
        for value in dict.fromkeys(texts):
            if texts.count(value) > 1:
                yield f"{where} has '{visible(value, 60)}' {texts.count(value)} times"


def kind_of(value: Any) -> str:
    """Return what JSON calls a value."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
