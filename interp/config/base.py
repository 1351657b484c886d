"""Dataclasses of options <-> flags <-> TOML, strict.

A field of a dataclass of options is a flag of each command that takes these options, and a key of its TOML
file. The order of precedence is default, TOML file, flag. Unknown keys are refused with the nearest known
one.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Any, TypeVar

from interp.errors import ConfigError, nearest

__all__ = [
    "check_options",
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


def option(
    default: Any,
    help: str,
    choices: tuple[str, ...] = (),
    *,
    minimum: float = 0,
    maximum: float = math.inf,
    exclusive: bool = False,
) -> Any:
    """Declare a field of options: its default, what it does, and the values it may take.

    Numbers must be finite and within ``minimum`` to ``maximum``, both included unless ``exclusive``.
    """
    metadata = {"help": help, "choices": choices, "range": (minimum, maximum, exclusive)}
    if isinstance(default, (list, tuple)):
        return field(default_factory=lambda: tuple(default), metadata=metadata)
    return field(default=default, metadata=metadata)


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


def check_options(options: Any) -> None:
    """Refuse values that the declared fields of a dataclass of options do not allow.

    Raises:
        ConfigError: A value is of the wrong kind, none of its choices, or out of range.
    """
    for spec in fields(options):
        if "choices" in spec.metadata:
            _checked(type(options), spec, getattr(options, spec.name), type(options).__name__)


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
        raise ConfigError(f"{source}: '{spec.name}' is {value!r}; a value of type {name} is expected.")
    choices = spec.metadata.get("choices", ())
    if choices and value not in choices:
        hint = nearest(str(value), choices)
        raise ConfigError(f"{source}: '{spec.name}' is '{value}'.{hint} {_choose(dict.fromkeys(choices))}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _require_in_range(spec, value, source)
    return value


def _require_in_range(spec: Field[Any], value: float, source: str) -> None:
    low, high, exclusive = spec.metadata.get("range", (0, math.inf, False))
    inside = low < value < high if exclusive else low <= value <= high
    if math.isfinite(value) and inside:
        return
    if exclusive:
        wanted = f"above {low:g}" + ("" if high == math.inf else f" and below {high:g}")
    else:
        wanted = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
    raise ConfigError(f"{source}: '{spec.name}' is {value}; a number {wanted} is expected.")


def _coerce(expected: Any, value: Any) -> Any:
    if isinstance(expected, types.UnionType):
        expected = next((m for m in typing.get_args(expected) if m is not type(None)), expected)
    if expected is Path and isinstance(value, str):
        return Path(value)
    if typing.get_origin(expected) is tuple and isinstance(value, (list, tuple, str)):
        item = typing.get_args(expected)[0]
        return tuple(_coerce(item, v) for v in ((value,) if isinstance(value, str) else value))
    if expected is float and type(value) is int:
        return float(value)
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
