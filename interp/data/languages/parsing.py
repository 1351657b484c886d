"""A language as plain values (a TOML file, the header of a facts file) to its record and back, checked."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any

from interp.characters import control_characters, visible
from interp.data.languages.checks import problems_of
from interp.data.languages.record import Language
from interp.errors import DataError, nearest

__all__ = ["parse_language", "plain_language", "read_language"]

_KINDS: dict[Any, str] = {str: "a text", list: "a list of texts"}


def read_language(path: str | Path) -> Language:
    """Read a TOML file with the keys of `interp.data.languages.record.Language`.

    Raises:
        DataError: It is missing, is not TOML, or describes no language; the message lists what is wrong.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"The language file {visible(path.absolute())} cannot be read: {reason}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"The language file {visible(path)} is not TOML in UTF-8: {visible(error)}."
        ) from None
    return parse_language(table, str(path))


def parse_language(table: Any, where: str) -> Language:
    """Return the record of a table of plain values.

    Raises:
        DataError: A key is missing or unknown, or a value cannot be used; the message lists all of them.
    """
    if not isinstance(table, Mapping):
        raise DataError(f"{visible(where)}: a language is a table of keys, found {_shown(table)}.")
    problems = list(_form_problems(Language, table))
    record = None if problems else _built(Language, table)
    if record is not None:
        problems = list(problems_of(record))
    if record is None or problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise DataError(f"{visible(where)} does not describe a language:{listed}")
    return record


def plain_language(record: Language) -> dict[str, Any]:
    """Return the table of a record; what is empty is left out. `parse_language` gives the record again."""
    return {key: value for key, value in _plain(dataclasses.asdict(record)).items() if value}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if each}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _form_problems(kind: type, table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield keys that are missing or unknown, and values of another type."""
    known = {each.name: each for each in dataclasses.fields(kind)}
    for name, each in known.items():
        if name not in table and each.default is each.default_factory is dataclasses.MISSING:
            yield f"{prefix}{name} is missing"
    for key, value in table.items():
        if key not in known:
            yield (
                f"unknown key '{visible(prefix + key, 60)}'.{nearest(key, known)} Choose from: "
                f"{', '.join(known)}."
            )
        else:
            yield from _value_problems(_types(kind)[key], value, f"{prefix}{key}")


def _value_problems(expected: Any, value: Any, where: str) -> Iterator[str]:
    if dataclasses.is_dataclass(expected) and isinstance(expected, type) and isinstance(value, dict):
        yield from _form_problems(expected, value, f"{where}.")
        return
    kind = {Mapping: dict, tuple: list, None: expected}[typing.get_origin(expected)]
    if not isinstance(value, dict if dataclasses.is_dataclass(kind) else kind):
        yield f"{where}: expected {_KINDS.get(kind, 'a table')}, found {_shown(value)}"
    elif isinstance(value, dict):
        item = typing.get_args(expected)[1]
        for key, each in value.items():
            yield from _text_problems(key, f"a key of {where}")
            yield from _value_problems(item, each, f"{where}.{visible(key, 40)}")
    elif isinstance(value, list):
        for each in value:
            yield from _value_problems(str, each, where)
    else:
        yield from _text_problems(value, where)


def _text_problems(text: str, where: str) -> Iterator[str]:
    if controls := control_characters(text):
        yield f"{where} has control characters: {', '.join(controls[:5])}"


def _built(kind: type, table: Mapping[str, Any]) -> Any:
    types = _types(kind)
    return kind(**{key: _value(types[key], value) for key, value in table.items()})


def _value(expected: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(expected) and isinstance(expected, type):
        return _built(expected, value)
    if isinstance(value, dict):
        return {key: _value(None, each) for key, each in value.items()}
    return tuple(value) if isinstance(value, list) else value


@cache
def _types(kind: type) -> dict[str, Any]:
    """Field name to type, without None."""
    hints = typing.get_type_hints(kind)
    return {name: _without_none(hint) for name, hint in hints.items()}


def _without_none(hint: Any) -> Any:
    members = typing.get_args(hint)
    return next(member for member in members if member is not NoneType) if NoneType in members else hint


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text '{visible(value, 40)}'"
    names = {dict: "a table", list: "a list", bool: "true or false"}
    return names.get(type(value), f"{visible(value, 40)}")
