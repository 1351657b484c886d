"""Arrays of a result by the names of their axes, which stand in their annotations."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from interp.errors import ResultError, nearest

__all__ = ["axes_of", "select"]

_LANGUAGES = ("language", "query", "target")


def axes_of(kind: type, name: str) -> tuple[str, ...]:
    """The axes of a field or property of a class, as its annotation names them; empty where it names none."""
    member = getattr(kind, name, None)
    function = getattr(member, "fget", None) or (member.func if isinstance(member, cached_property) else None)
    hints = (
        typing.get_type_hints(function).get("return") if function else typing.get_type_hints(kind).get(name)
    )
    return tuple(getattr(hints, "dim_str", "").split())


def select(result: Any, name: str, where: Mapping[str, str | int | Sequence[str | int]]) -> np.ndarray:
    """See `interp.results.base.Result.select`."""
    axes = axes_of(type(result), name)
    if not axes:
        raise ResultError(f"A '{result.kind}' result has no array '{name}' with named axes.")
    unknown = [axis for axis in where if axis not in axes]
    if unknown:
        raise ResultError(
            f"'{name}' has no axis '{unknown[0]}'.{nearest(unknown[0], axes)} Choose from: {', '.join(axes)}."
        )
    values: np.ndarray = getattr(result, name)
    for number in reversed(range(len(axes))):
        if axes[number] in where:
            places = _places(result, axes[number], where[axes[number]], values.shape[number])
            values = np.take(values, places, axis=number)
    return values


def _places(result: Any, axis: str, wanted: Any, length: int) -> int | list[int]:
    """Numbers of the wanted places of an axis; one number for one place."""
    if isinstance(wanted, (list, tuple)):
        return [_place(result, axis, one, length) for one in wanted]
    return _place(result, axis, wanted, length)


def _place(result: Any, axis: str, wanted: Any, length: int) -> int:
    if axis in _LANGUAGES and isinstance(wanted, str):
        if wanted not in result.languages:
            hint = nearest(wanted, result.languages)
            raise ResultError(f"No language '{wanted}'.{hint} Choose from: {', '.join(result.languages)}.")
        return int(result.languages.index(wanted))
    if isinstance(wanted, (int, np.integer)) and 0 <= wanted < length:
        return int(wanted)
    raise ResultError(f"No {axis} {wanted!r}; a number from 0 to {length - 1} is expected.")
