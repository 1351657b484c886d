"""One dataclass per command <-> TOML <-> flags, strict.

A field of a configuration is a flag of the command and a key of its TOML file. The order of precedence is default,
TOML file, flag. Unknown keys are refused with the nearest known one.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import field, fields
from pathlib import Path
from typing import Any, TypeVar

from interp.errors import ConfigError, nearest

Config = TypeVar("Config")


def option(
    default: Any, help: str, choices: tuple[str, ...] = (), *, minimum: float = 0, maximum: float = math.inf
) -> Any:
    """Declare a configuration field: its default, what it does, and the values it may take.

    Numbers must be finite and within ``minimum`` to ``maximum``, both included.
    """
    metadata = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum}
    if isinstance(default, (list, tuple)):
        return field(default_factory=lambda: tuple(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def load_config(kind: type[Config], toml: Path | None, flags: dict[str, Any]) -> Config:
    """Combine defaults, a TOML file and flags (``None`` means not given) into one checked configuration.

    Raises:
        ConfigError: The file is missing or malformed, a key is unknown, or a value is of the wrong kind.
    """
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for source, given in ((str(toml), read_toml(toml) if toml else {}), ("flags", flags)):
        for key, value in given.items():
            name = key.replace("-", "_")
            if name not in known:
                raise ConfigError(
                    f"{source}: unknown key '{key}'.{nearest(name, known)} Known: {', '.join(known)}."
                )
            if value is not None:
                values[name] = _checked(kind, known[name], value, source)
    return kind(**values)


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
    """The configuration as plain values (for provenance and JSON)."""
    return {name: _plain(value) for name, value in dataclasses.asdict(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def field_types(kind: type) -> dict[str, Any]:
    """Field name -> resolved annotation."""
    return typing.get_type_hints(kind)


def _checked(kind: type, spec: dataclasses.Field[Any], value: Any, source: str) -> Any:
    expected = field_types(kind)[spec.name]
    value = _coerce(expected, value)
    if not _matches(expected, value):
        name = getattr(expected, "__name__", str(expected))
        raise ConfigError(f"{source}: '{spec.name}' is {value!r}; a value of type {name} is expected.")
    choices = spec.metadata.get("choices", ())
    if choices and value not in choices:
        hint = nearest(str(value), choices)
        raise ConfigError(
            f"{source}: '{spec.name}' is '{value}'; one of {', '.join(choices)} is expected.{hint}"
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _require_in_range(spec, value, source)
    return value


def _require_in_range(spec: dataclasses.Field[Any], value: float, source: str) -> None:
    low, high = spec.metadata.get("minimum", 0), spec.metadata.get("maximum", math.inf)
    if math.isfinite(value) and low <= value <= high:
        return
    wanted = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
    raise ConfigError(f"{source}: '{spec.name}' is {value}; a number {wanted} is expected.")


def _coerce(expected: Any, value: Any) -> Any:
    if expected is Path and isinstance(value, str):
        return Path(value)
    if typing.get_origin(expected) is tuple and isinstance(value, (list, str)):
        return (value,) if isinstance(value, str) else tuple(value)
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
