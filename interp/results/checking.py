"""Whether a file holds a result of a kind, by the declared fields of its class.

Names, types and axes are compared before any array is inflated, values after. See `interp.results.fields`
for what is declared.
"""

from __future__ import annotations

import functools
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.characters import visible
from interp.errors import ResultError, nearest
from interp.results.fields import Along, Numbers, OneOf
from interp.results.migration import SCHEMA, current
from interp.results.plain import (
    Unlike,
    depth_of,
    leaves,
    require_names,
    require_unique,
    shown,
    type_name,
    typed,
)
from interp.results.provenance import Provenance
from interp.results.storage import Archive, Header, open_archive

if TYPE_CHECKING:
    from collections.abc import Callable

    from interp.results.base import Result

__all__ = ["read_result"]

_MOST_FLOAT = 1e15  # its square is a number in single precision too
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
        optional: Whether results of older versions may lack it.
    """

    name: str
    hint: Any
    declared: tuple[Any, ...]
    optional: bool = False

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
        except Unlike as unlike:
            raise ResultError(f"{path}: {unlike}. {_DO}") from None


def _result(archive: Archive, kind_of: Callable[[str], type[Result]]) -> Result:
    meta = archive.meta
    _require_schema(meta, archive.path)
    if not isinstance(meta.get("kind"), str):
        raise ResultError(f"{archive.path} is not a result of interp: no kind is given. {_DO}")
    if depth_of(meta) > _DEEPEST:
        raise Unlike(f"tables within tables, {depth_of(meta)} times", f"at most {_DEEPEST}")
    meta = current(meta)
    kind = kind_of(meta["kind"])
    declared = _fields(kind)
    for each in declared:
        if each.is_array and meta.get(each.name) is not None:
            raise Unlike(f"'{each.name}' is {shown(meta[each.name])}", "an array, or none")
    plain = {
        f.name: _plain(f, meta) for f in declared if not f.is_array and (f.name in meta or not f.optional)
    }
    sizes = _lengths_of_plain(declared, plain)
    _require_headers(kind, [f for f in declared if f.is_array], archive.headers, sizes)
    provenance = _provenance(meta, plain.get("languages", ()))
    arrays = archive.read()
    for each in declared:
        _require_numbers(each, declared, {**plain, **arrays}, sizes)
    make: Any = kind
    made: Result = make(provenance=provenance, **plain, **arrays)
    for found, expected in made.flaws():
        raise Unlike(found, expected)
    return made


def _require_schema(meta: Mapping[str, Any], path: Path) -> None:
    schema = meta.get("schema")
    if type(schema) is int and 1 <= schema <= SCHEMA:
        return
    shown = visible(repr(schema), 40)
    if type(schema) is int and schema > SCHEMA:
        raise ResultError(f"{path} has schema {shown}; this version reads up to {SCHEMA}. Upgrade interp.")
    raise Unlike(f"schema {shown}", f"a number from 1 to {SCHEMA}")


@functools.cache
def _fields(kind: type[Any]) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for spec in fields(kind):
        hint = hints[spec.name]
        annotated = typing.get_origin(hint) is typing.Annotated
        inner, *declared = typing.get_args(hint) if annotated else (hint,)
        parts = [part for part in typing.get_args(inner) if part is not type(None)]
        none_or_array = len(parts) == 1 and hasattr(parts[0], "dim_str")
        hint = parts[0] if none_or_array else inner
        found.append(_Field(spec.name, hint, tuple(declared), spec.default in (None, ())))
    return tuple(f for f in found if f.name != "provenance")


# what is not in arrays


def _plain(declared: _Field, meta: Mapping[str, Any]) -> Any:
    if declared.name not in meta:
        raise Unlike(f"lacks parts of a '{meta['kind']}' result ('{declared.name}')", "all of them")
    value = meta[declared.name]
    try:
        value = typed(declared.hint, value)
    except TypeError:
        raise Unlike(f"'{declared.name}' is {shown(value)}", type_name(declared.hint)) from None
    along, one_of = declared.of(Along), declared.of(OneOf)
    if not (along and along.free):
        require_names(declared.name, value)
    if along and along.unique:
        require_unique(declared.name, value)
    for each in leaves(value) if one_of else ():
        if each not in one_of.choices:
            hint = nearest(each, one_of.choices)
            raise Unlike(f"'{declared.name}' is {shown(each)}.{hint}", f"one of {', '.join(one_of.choices)}")
    return value


def _provenance(meta: Mapping[str, Any], languages: tuple[str, ...]) -> Any:
    saved = meta.get("provenance")
    if not isinstance(saved, Mapping):
        raise Unlike(f"'provenance' is {shown(saved)}", "a table")
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
        raise Unlike(
            f"'languages' are {shown(languages)}, and those of its settings {shown(asked)}",
            "the same in one order",
        )
    return Provenance(**values)


def _entry(name: str, hint: Any, value: Any) -> Any:
    try:
        found = typed(hint, value)
    except TypeError:
        raise Unlike(f"'{name}' is {shown(value)}", type_name(hint)) from None
    require_names(name, found)
    return found


# arrays by what they say of themselves


def _lengths_of_plain(declared: tuple[_Field, ...], plain: Mapping[str, Any]) -> Sizes:
    sizes: Sizes = {}
    for each in declared:
        if each.is_array or not each.axes or each.name not in plain:
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
        raise Unlike(f"{what} has length {length} along '{axis}'", str(wanted))


def _require_headers(
    kind: type[Result], arrays: list[_Field], headers: Mapping[str, Header], sizes: Sizes
) -> None:
    names = {each.name for each in arrays}
    arrays = [each for each in arrays if each.name in headers or not each.optional]
    if missing := sorted({each.name for each in arrays} - headers.keys()):
        raise Unlike(f"lacks parts of a '{kind.kind}' result ('{missing[0]}')", "all of them")
    if surplus := sorted(headers.keys() - names):
        raise Unlike(f"an array {shown(surplus[0])}", f"none but {', '.join(sorted(names))}")
    for each in arrays:
        header, shape = headers[each.name], f"[{', '.join(each.axes)}]"
        found = f"'{each.name}' is {header.dtype.name} {list(header.shape)}"
        if header.dtype.name not in each.hint.dtypes or len(header.shape) != len(each.axes):
            raise Unlike(found, f"{each.hint.__name__.partition('[')[0].lower()} {shape}")
        for axis, length in zip(each.axes, header.shape, strict=True):
            _bind(sizes, axis, length, f"'{each.name}' {shape}")
    for axis, length_of in kind.lengths.items():
        if axis in sizes:
            _bind(sizes, axis, length_of(sizes), "the file")
    for axis, length in sizes.items():
        if length < kind.shortest.get(axis, 1):
            raise Unlike(f"length {length} along '{axis}'", f"at least {kind.shortest.get(axis, 1)}")


# numbers


def _require_numbers(
    each: _Field, declared: tuple[_Field, ...], values: Mapping[str, Any], sizes: Sizes
) -> None:
    allowed = each.of(Numbers) or Numbers()
    found = values.get(each.name)
    if found is None and each.optional:
        return
    if not each.is_array and not _is_number(found):
        return
    numbers = np.asarray(found)
    if numbers.dtype == bool or not numbers.size:
        return
    if numbers.dtype.kind == "f":
        unknown = np.isnan(numbers)
        if unknown.any() and not allowed.missing:
            raise Unlike(f"'{each.name}' has NaN in {int(unknown.sum())} places", "a number everywhere")
        numbers = numbers[~unknown] if unknown.any() else numbers
        if not numbers.size:
            return
    if numbers.dtype.kind == "f" and (extreme := np.abs(numbers).max()) > _MOST_FLOAT:
        raise Unlike(f"'{each.name}' has a value of size {extreme:g}", f"at most {_MOST_FLOAT:g}")
    high = min(allowed.high, sizes[allowed.below] - 1) if allowed.below else allowed.high
    least, most = numbers.min(), numbers.max()
    if least < allowed.low or most > high:
        wrong = least if least < allowed.low else most
        wanted = f"at least {allowed.low:g}" if high == math.inf else f"from {allowed.low:g} to {high:g}"
        raise Unlike(f"'{each.name}' has the value {wrong:g}", f"a number {wanted}")
    if allowed.most:
        bound = next(other for other in declared if other.name == allowed.most)
        index = tuple(slice(None) if axis in bound.axes else None for axis in each.axes)
        if (numbers > values[bound.name][index]).any():
            raise Unlike(f"'{each.name}' exceeds '{bound.name}' in places", "at most as many")


def _is_number(value: Any) -> bool:
    numbers = leaves(value)
    return bool(numbers) and all(type(each) in (int, float) for each in numbers)
