"""Values of JSON as a type says they are, and what is wrong where they are not."""

from __future__ import annotations

import math
import reprlib
import types
import typing
from collections.abc import Mapping
from typing import Any

from interp.characters import control_characters, visible

__all__ = ["Unlike", "depth_of", "leaves", "require_names", "require_unique", "shown", "type_name", "typed"]

MOST_INT = 2**53
_LONGEST = 10_000  # characters of a name


class Unlike(Exception):
    """What was found and what is expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}; {expected} is expected")


def typed(hint: Any, value: Any) -> Any:
    """A value of JSON as a type says it is, lists as tuples.

    Raises:
        TypeError: It is not.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError
        return tuple(typed(arguments[0], each) for each in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise TypeError
        return {key: typed(arguments[1], each) for key, each in value.items()}
    if isinstance(hint, types.UnionType):
        for member in arguments:
            try:
                return typed(member, value)
            except TypeError:
                continue
        raise TypeError
    if hint is Any:
        return value
    if hint is float and type(value) is int:
        return float(value) if abs(value) < MOST_INT else math.inf
    if type(value) is not hint or (hint is int and abs(value) > MOST_INT):
        raise TypeError
    return value


def require_unique(name: str, value: tuple[Any, ...]) -> None:
    """Refuse names that are equal, or empty."""
    if len(set(value)) < len(value):
        twice = next(each for each in value if value.count(each) > 1)
        raise Unlike(f"'{name}' has {shown(twice)} twice", "each once")
    if "" in value:
        raise Unlike(f"'{name}' has an empty text", "a name")


def leaves(value: Any) -> list[Any]:
    """What stands in nested tuples."""
    return [leaf for each in value for leaf in leaves(each)] if isinstance(value, tuple) else [value]


def require_names(name: str, value: Any) -> None:
    """Refuse texts that hide something, or are too long for a name."""
    for text in leaves(value):
        if isinstance(text, str) and (controls := control_characters(text)):
            raise Unlike(f"'{name}' has the character {controls[0]} in {shown(text)}", "visible text")
        if isinstance(text, str) and len(text) > _LONGEST:
            raise Unlike(f"'{name}' has a text of {len(text)} characters", f"one of at most {_LONGEST}")


def depth_of(value: Any) -> int:
    """How often lists and tables stand within each other."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, (Mapping, list))]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, Mapping) else each)]
    return depth


def shown(value: Any) -> str:
    """A value for a message."""
    return visible(reprlib.repr(value), 60)


def type_name(hint: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return f"a list of {type_name(arguments[0]).partition(' ')[2]}s"
    if isinstance(hint, types.UnionType):
        return " or ".join(map(type_name, arguments))
    names = {str: "a text", int: "a whole number", bool: "a yes/no", float: "a number", type(None): "a null"}
    return names.get(hint, "a table")
