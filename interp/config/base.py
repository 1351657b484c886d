"""Dataclasses of options <-> flags <-> TOML, strict.

A field of a dataclass of options is a flag of each command that takes these options, and a key of its TOML
file. The order of precedence is default, TOML file, flag. Unknown keys are refused with the nearest known
one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import tomllib
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Any, TypeVar

from interp.characters import visible
from interp.errors import ConfigError, nearest

__all__ = [
    "LARGEST_SEED",
    "Bounds",
    "Options",
    "bounds_of",
    "default_of",
    "field_types",
    "load_config",
    "load_options",
    "option",
    "option_fields",
    "read_toml",
    "to_plain",
]

Config = TypeVar("Config")
_MOST = 1e9

LARGEST_SEED = 2**32 - 1
"""Of numpy's generators."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Values that a number may have; infinity and NaN never are.

    Attributes:
        low: The least.
        high: The largest.
        above: Whether the least itself is out.
        below: Whether the largest itself is out.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False

    def hold(self, value: float) -> bool:
        """Whether a value may be had."""
        over = self.low < value if self.above else self.low <= value
        finite = isinstance(value, int) or math.isfinite(value)
        return finite and over and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        if self.above:
            most = "below" if self.below else "at most"
            return f"above {_number(self.low)} and {most} {_number(self.high)}"
        return f"from {_number(self.low)} to {_number(self.high)}"

    def wanted(self, value: float) -> str:
        """What is expected in place of a value: the bound that it breaks, or both."""
        too_small = not self.above and -math.inf < value < self.low
        return f"of at least {_number(self.low)}" if too_small else str(self)


def option(
    default: Any,
    help: str,
    choices: tuple[str, ...] = (),
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """Declare a field of options: its default, what it does, and the values it may take.

    Numbers are finite and from ``minimum`` (or above ``above``) to ``maximum`` (or below ``below``); by
    default from 0 to a billion, since what is larger is a slip.
    """
    low = above if above is not None else 0 if minimum is None else minimum
    high = below if below is not None else _MOST if maximum is None else maximum
    bounds = Bounds(low, high, above is not None, below is not None)
    metadata = {"help": help, "choices": choices, "bounds": bounds}
    if isinstance(default, (list, tuple)):
        return field(default_factory=lambda: tuple(default), metadata=metadata)
    return field(default=default, metadata=metadata)


class Options:
    """Base of dataclasses of options: however one is made, its values are checked.

    Raises:
        ConfigError: A value is of the wrong kind, none of its choices, or out of bounds.
    """

    def __post_init__(self) -> None:
        made: Any = self
        for spec in fields(made):
            value = getattr(self, spec.name)
            checked = _checked(type(self), spec, value, type(self).__name__)
            if checked is not value:
                object.__setattr__(self, spec.name, checked)


def load_config(kind: type[Config], toml: Path | None, flags: Mapping[str, Any]) -> Config:
    """Combine defaults, a TOML file and flags (``None`` means not given) into one checked dataclass.

    Raises:
        ConfigError: The file is missing or malformed, a key is unknown, or a value is of the wrong kind.
    """
    return load_options([kind], toml, flags)[0]


def load_options(
    kinds: Sequence[type[Any]],
    toml: Path | None,
    flags: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
) -> tuple[Any, ...]:
    """Combine defaults, a TOML file and flags (``None``: not given) into checked dataclasses, one per kind.

    Args:
        kinds: Dataclasses of options; no two have a field of one name.
        toml: Keys of all kinds, in one table.
        flags: The same, given on the command line.
        defaults: What replaces the defaults of fields.

    Raises:
        ConfigError: The file is missing or malformed, a key is unknown, or a value is of the wrong kind.
    """
    known = {f.name: (kind, f) for kind in kinds for f in fields(kind)}
    values: dict[str, Any] = dict(defaults or {})
    for source, given in ((str(toml), read_toml(toml) if toml else {}), ("flags", flags)):
        for name, value in _named(given, source).items():
            if name not in known:
                raise ConfigError(f"{source}: unknown key '{name}'.{nearest(name, known)} {_choose(known)}")
            if value is not None:
                values[name] = _checked(*known[name], value, source)
    return tuple(kind(**{f.name: values[f.name] for f in fields(kind) if f.name in values}) for kind in kinds)


def bounds_of(kind: type[Any], spec: Field[Any]) -> Bounds | None:
    """The bounds of a field that is a number; None of any other."""
    expected = field_types(kind)[spec.name]
    members = typing.get_args(expected) if isinstance(expected, types.UnionType) else (expected,)
    return spec.metadata.get("bounds") if {int, float} & set(members) else None


def option_fields(kinds: Sequence[type[Any]]) -> list[tuple[type[Any], Field[Any]]]:
    """All fields of dataclasses of options, with the dataclass that each is of."""
    return [(kind, spec) for kind in kinds for spec in fields(kind)]


def default_of(spec: Field[Any]) -> Any:
    """A field's default."""
    return spec.default_factory() if spec.default_factory is not dataclasses.MISSING else spec.default


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML table, with a clear error for a missing or malformed file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"No configuration file at {path.absolute()}.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None


def to_plain(config: Any) -> dict[str, Any]:
    """The options as plain values (for provenance and JSON)."""
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def field_types(kind: type) -> dict[str, Any]:
    """Field name -> resolved annotation."""
    return _types_of(kind)


@functools.cache
def _types_of(kind: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _named(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Keys with underscores, however they are spelled; one that is given in both spellings is refused."""
    named: dict[str, Any] = {}
    for key, value in given.items():
        name = key.replace("-", "_")
        if name in named:
            raise ConfigError(f"{source}: '{name}' is given twice, as '{name}' and '{key}'. Keep one.")
        named[name] = value
    return named


def _choose(known: Mapping[str, Any]) -> str:
    return f"Choose from: {', '.join(known)}."


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _checked(kind: type, spec: Field[Any], value: Any, source: str) -> Any:
    expected = field_types(kind)[spec.name]
    value = _coerce(expected, value)
    if not _matches(expected, value):
        name = getattr(expected, "__name__", str(expected))
        raise ConfigError(
            f"{source}: '{spec.name}' is {visible(repr(value), 80)}; a value of type {name} is expected."
        )
    choices = spec.metadata.get("choices", ())
    if choices and value not in choices:
        hint = nearest(str(value), choices)
        raise ConfigError(
            f"{source}: '{spec.name}' is '{visible(value, 80)}'.{hint} {_choose(dict.fromkeys(choices))}"
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        bounds = spec.metadata.get("bounds")
        if bounds is not None and not bounds.hold(value):
            shown = visible(repr(value), 40)
            raise ConfigError(
                f"{source}: '{spec.name}' is {shown}; a number {bounds.wanted(value)} is expected."
            )
    return value


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1 and value == int(value) else f"{value:g}"


def _coerce(expected: Any, value: Any) -> Any:
    if isinstance(expected, types.UnionType):
        expected = next((m for m in typing.get_args(expected) if m is not type(None)), expected)
    if expected is Path and isinstance(value, str):
        return Path(value)
    if expected is str and isinstance(value, Path):
        return str(value)
    if typing.get_origin(expected) is tuple and isinstance(value, (list, tuple, str)):
        item = typing.get_args(expected)[0]
        return tuple(_coerce(item, v) for v in ((value,) if isinstance(value, str) else value))
    if expected is float and type(value) is int:
        return float(value) if abs(value) < 2**53 else math.inf
    return value


def _matches(expected: Any, value: Any) -> bool:
    if isinstance(expected, types.UnionType):
        return any(_matches(member, value) for member in typing.get_args(expected))
    if expected is None or expected is type(None):
        return value is None
    if typing.get_origin(expected) is tuple:
        item = typing.get_args(expected)[0]
        return isinstance(value, tuple) and all(_matches(item, v) for v in value)
    if expected is int:
        return type(value) is int
    return isinstance(value, expected)
