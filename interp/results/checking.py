"""Whether a file holds a result of a kind, by the declared fields of its class.

Names, types and axes are compared before any array is inflated, values after. See `interp.results.fields`
for what is declared.
"""

from __future__ import annotations

import functools
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.characters import control_characters, visible
from interp.errors import ResultError, nearest
from interp.results.fields import Along, Numbers, OneOf
from interp.results.migration import SCHEMA, current
from interp.results.storage import Archive, Header, open_archive

if TYPE_CHECKING:
    from collections.abc import Callable

    from interp.results.base import Result

__all__ = ["read_result"]

_MOST_INT = 2**53
_MOST_FLOAT = 1e15  # its square is a number in single precision too
_LONGEST = 10_000  # characters of a name
_DEEPEST = 8  # lists and tables within each other
_DO = "It was edited or is damaged: take an undamaged copy, or measure again with --fresh."

Sizes = dict[str, int]


@dataclass(frozen=True)
class _Field:
    """A declared field.

    Attributes:
        name: Of the field.
        hint: Its type, without what is declared beside it.
        declared: What is: instances of `Along`, `Numbers` and `OneOf`.
    """

    name: str
    hint: Any
    declared: tuple[Any, ...]

    @property
    def is_array(self) -> bool:
        """Whether an array holds it."""
        return hasattr(self.hint, "dim_str")

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of its axes."""
        if self.is_array:
            return tuple(self.hint.dim_str.split())
        along = self.of(Along)
        return tuple(along.axes.split()) if along else ()

    def of(self, kind: type[Any]) -> Any:
        """What is declared of a kind; None if nothing is."""
        return next((each for each in self.declared if isinstance(each, kind)), None)


class _Unlike(Exception):
    """What was found and what is expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}; {expected} is expected")


def read_result(path: Path, kind_of: Callable[[str], type[Result]]) -> Result:
    """Read a saved result.

    Args:
        path: Of the file.
        kind_of: The class of a kind; raises `ResultError` for one that is not wanted.

    Raises:
        ResultError: Not a result, of another kind, from a newer version, or not what its class declares.
    """
    with open_archive(path) as archive:
        try:
            return _result(archive, kind_of)
        except _Unlike as unlike:
            raise ResultError(f"{path}: {unlike}. {_DO}") from None


def _result(archive: Archive, kind_of: Callable[[str], type[Result]]) -> Result:
    meta = archive.meta
    _require_schema(meta, archive.path)
    if not isinstance(meta.get("kind"), str):
        raise ResultError(f"{archive.path} is not a result of interp: no kind is given. {_DO}")
    if _depth(meta) > _DEEPEST:
        raise _Unlike(f"tables within tables, {_depth(meta)} times", f"at most {_DEEPEST}")
    meta = current(meta)
    kind = kind_of(meta["kind"])
    declared = _fields(kind)
    plain = {f.name: _plain(f, meta) for f in declared if not f.is_array}
    sizes = _lengths_of_plain(declared, plain)
    _require_headers(kind, [f for f in declared if f.is_array], archive.headers, sizes)
    provenance = _provenance(meta, plain.get("languages", ()))
    arrays = archive.read()
    for each in declared:
        _require_numbers(each, declared, {**plain, **arrays}, sizes)
    make: Any = kind
    made: Result = make(provenance=provenance, **plain, **arrays)
    for found, expected in made.flaws():
        raise _Unlike(found, expected)
    return made


def _require_schema(meta: Mapping[str, Any], path: Path) -> None:
    schema = meta.get("schema")
    if type(schema) is int and 1 <= schema <= SCHEMA:
        return
    shown = visible(repr(schema), 40)
    if type(schema) is int and schema > SCHEMA:
        raise ResultError(f"{path} has schema {shown}; this version reads up to {SCHEMA}. Upgrade interp.")
    raise _Unlike(f"schema {shown}", f"a number from 1 to {SCHEMA}")


@functools.cache
def _fields(kind: type[Any]) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for spec in fields(kind):
        hint = hints[spec.name]
        annotated = typing.get_origin(hint) is typing.Annotated
        inner, *declared = typing.get_args(hint) if annotated else (hint,)
        found.append(_Field(spec.name, inner, tuple(declared)))
    return tuple(f for f in found if f.name != "provenance")


# what is not in arrays


def _plain(declared: _Field, meta: Mapping[str, Any]) -> Any:
    if declared.name not in meta:
        raise _Unlike(f"lacks parts of a '{meta['kind']}' result ('{declared.name}')", "all of them")
    value = meta[declared.name]
    try:
        value = _typed(declared.hint, value)
    except TypeError:
        raise _Unlike(f"'{declared.name}' is {_shown(value)}", _type_name(declared.hint)) from None
    along, one_of = declared.of(Along), declared.of(OneOf)
    if not (along and along.free):
        _require_names(declared.name, value)
    if along and along.unique:
        _require_unique(declared.name, value)
    for each in _leaves(value) if one_of else ():
        if each not in one_of.choices:
            hint = nearest(each, one_of.choices)
            raise _Unlike(
                f"'{declared.name}' is {_shown(each)}.{hint}", f"one of {', '.join(one_of.choices)}"
            )
    return value


def _typed(hint: Any, value: Any) -> Any:
    """A value of JSON as a type says it is, lists as tuples.

    Raises:
        TypeError: It is not.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError
        return tuple(_typed(arguments[0], each) for each in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise TypeError
        return {key: _typed(arguments[1], each) for key, each in value.items()}
    if isinstance(hint, types.UnionType):
        for member in arguments:
            try:
                return _typed(member, value)
            except TypeError:
                continue
        raise TypeError
    if hint is Any:
        return value
    if hint is float and type(value) is int:
        return float(value) if abs(value) < _MOST_INT else math.inf
    if type(value) is not hint or (hint is int and abs(value) > _MOST_INT):
        raise TypeError
    return value


def _require_unique(name: str, value: tuple[Any, ...]) -> None:
    if len(set(value)) < len(value):
        twice = next(each for each in value if value.count(each) > 1)
        raise _Unlike(f"'{name}' has {_shown(twice)} twice", "each once")
    if "" in value:
        raise _Unlike(f"'{name}' has an empty text", "a name")


def _leaves(value: Any) -> list[Any]:
    return [leaf for each in value for leaf in _leaves(each)] if isinstance(value, tuple) else [value]


def _require_names(name: str, value: Any) -> None:
    for text in _leaves(value):
        if isinstance(text, str) and (controls := control_characters(text)):
            raise _Unlike(f"'{name}' has the character {controls[0]} in {_shown(text)}", "visible text")
        if isinstance(text, str) and len(text) > _LONGEST:
            raise _Unlike(f"'{name}' has a text of {len(text)} characters", f"one of at most {_LONGEST}")


def _provenance(meta: Mapping[str, Any], languages: tuple[str, ...]) -> Any:
    from interp.results.base import Provenance

    saved = meta.get("provenance")
    if not isinstance(saved, Mapping):
        raise _Unlike(f"'provenance' is {_shown(saved)}", "a table")
    hints = typing.get_type_hints(Provenance)
    values = {}
    for spec in fields(Provenance):
        if spec.name in saved:
            values[spec.name] = _entry(f"provenance.{spec.name}", hints[spec.name], saved[spec.name])
    for part, known in (("settings", Provenance.known_settings), ("run", Provenance.known_run)):
        for name, hint in known.items():
            if name in values.get(part, {}):
                _entry(f"provenance.{part}.{name}", hint, values[part][name])
    asked = values.get("settings", {}).get("languages")
    if asked is not None and [code for code in asked if code in languages] != list(languages):
        raise _Unlike(
            f"'languages' are {_shown(languages)}, and those of its settings {_shown(asked)}",
            "the same in one order",
        )
    return Provenance(**values)


def _depth(value: Any) -> int:
    """How often lists and tables stand within each other."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, (Mapping, list))]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, Mapping) else each)]
    return depth


def _entry(name: str, hint: Any, value: Any) -> Any:
    try:
        found = _typed(hint, value)
    except TypeError:
        raise _Unlike(f"'{name}' is {_shown(value)}", _type_name(hint)) from None
    _require_names(name, found)
    return found


# arrays by what they say of themselves


def _lengths_of_plain(declared: tuple[_Field, ...], plain: Mapping[str, Any]) -> Sizes:
    sizes: Sizes = {}
    for each in declared:
        if each.is_array or not each.axes:
            continue
        level: tuple[Any, ...] = (plain[each.name],)
        for axis in each.axes:
            for part in level:
                _bind(sizes, axis, len(part), f"'{each.name}'")
            level = tuple(inner for part in level for inner in part)
    return sizes


def _bind(sizes: Sizes, axis: str, length: int, what: str) -> None:
    wanted = int(axis) if axis.isdecimal() else sizes.setdefault(axis, length)
    if wanted != length:
        raise _Unlike(f"{what} has length {length} along '{axis}'", str(wanted))


def _require_headers(
    kind: type[Result], arrays: list[_Field], headers: Mapping[str, Header], sizes: Sizes
) -> None:
    names = {each.name for each in arrays}
    if missing := sorted(names - headers.keys()):
        raise _Unlike(f"lacks parts of a '{kind.kind}' result ('{missing[0]}')", "all of them")
    if surplus := sorted(headers.keys() - names):
        raise _Unlike(f"an array {_shown(surplus[0])}", f"none but {', '.join(sorted(names))}")
    for each in arrays:
        header, shape = headers[each.name], f"[{', '.join(each.axes)}]"
        found = f"'{each.name}' is {header.dtype.name} {list(header.shape)}"
        if header.dtype.name not in each.hint.dtypes or len(header.shape) != len(each.axes):
            raise _Unlike(found, f"{each.hint.__name__.partition('[')[0].lower()} {shape}")
        for axis, length in zip(each.axes, header.shape, strict=True):
            _bind(sizes, axis, length, f"'{each.name}' {shape}")
    for axis, length_of in kind.lengths.items():
        if axis in sizes:
            _bind(sizes, axis, length_of(sizes), "the file")
    for axis, length in sizes.items():
        if length < kind.shortest.get(axis, 1):
            raise _Unlike(f"length {length} along '{axis}'", f"at least {kind.shortest.get(axis, 1)}")


# numbers


def _require_numbers(
    each: _Field, declared: tuple[_Field, ...], values: Mapping[str, Any], sizes: Sizes
) -> None:
    allowed = each.of(Numbers) or Numbers()
    found = values[each.name]
    if not each.is_array and not _is_number(found):
        return
    numbers = np.asarray(found)
    if numbers.dtype == bool or not numbers.size:
        return
    if numbers.dtype.kind == "f":
        unknown = np.isnan(numbers)
        if unknown.any() and not allowed.missing:
            raise _Unlike(f"'{each.name}' has NaN in {int(unknown.sum())} places", "a number everywhere")
        numbers = numbers[~unknown] if unknown.any() else numbers
        if not numbers.size:
            return
    if numbers.dtype.kind == "f" and (extreme := np.abs(numbers).max()) > _MOST_FLOAT:
        raise _Unlike(f"'{each.name}' has a value of size {extreme:g}", f"at most {_MOST_FLOAT:g}")
    high = min(allowed.high, sizes[allowed.below] - 1) if allowed.below else allowed.high
    least, most = numbers.min(), numbers.max()
    if least < allowed.low or most > high:
        wrong = least if least < allowed.low else most
        wanted = f"at least {allowed.low:g}" if high == math.inf else f"from {allowed.low:g} to {high:g}"
        raise _Unlike(f"'{each.name}' has the value {wrong:g}", f"a number {wanted}")
    if allowed.most:
        bound = next(other for other in declared if other.name == allowed.most)
        index = tuple(slice(None) if axis in bound.axes else None for axis in each.axes)
        if (numbers > values[bound.name][index]).any():
            raise _Unlike(f"'{each.name}' exceeds '{bound.name}' in places", "at most as many")


def _is_number(value: Any) -> bool:
    leaves = _leaves(value)
    return bool(leaves) and all(type(each) in (int, float) for each in leaves)


def _shown(value: Any) -> str:
    return visible(reprlib.repr(value), 60)


def _type_name(hint: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return f"a list of {_type_name(arguments[0]).partition(' ')[2]}s"
    if isinstance(hint, types.UnionType):
        return " or ".join(map(_type_name, arguments))
    names = {str: "a text", int: "a whole number", bool: "a yes/no", float: "a number", type(None): "a null"}
    return names.get(hint, "a table")
