"""Command-line flags made from dataclasses of options: one flag per field, plus ``--config``."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Annotated, Any

import typer

from interp.config import default_of, field_types, load_options, option_fields

__all__ = ["command_of", "configured"]


def configured(*kinds: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn a function of dataclasses of options into a command: a flag per field, and ``--config FILE.toml``.

    A flag that is not given is left to the TOML file, then to the field's default.
    """
    return lambda function: command_of(function, kinds)


def command_of(
    function: Callable[..., None],
    kinds: Sequence[type[Any]],
    defaults: Mapping[str, Any] | None = None,
    *,
    name: str = "",
    help: str = "",
) -> Callable[..., None]:
    """A command that calls a function with one instance of each kind of options.

    Args:
        function: Called with the options, in the order of their kinds.
        kinds: Dataclasses of options; no two have a field of one name.
        defaults: What replaces the defaults of fields.
        name: Of the command; by default the function's.
        help: Of the command; by default the function's docstring.
    """
    changed = dict(defaults or {})

    def command(config: Path | None = None, **flags: Any) -> None:
        function(*load_options(kinds, config, _given(flags), changed))

    parameters = [_parameter("config", Path, "TOML file with any of these keys; flags win.", None)]
    parameters += [_of_field(kind, spec, changed) for kind, spec in option_fields(kinds)]
    command.__name__, command.__doc__ = name or function.__name__, help or function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given; a repeated one as a tuple."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in flags.items() if v is not None and v != []}


def _of_field(kind: type[Any], spec: Field[Any], changed: Mapping[str, Any]) -> inspect.Parameter:
    shown = spec.metadata["help"]
    if spec.metadata["choices"]:
        shown = f"{shown.rstrip('.')}: {', '.join(spec.metadata['choices'])}."
    default = changed.get(spec.name, default_of(spec))
    return _parameter(
        spec.name, field_types(kind)[spec.name], shown, default, choices=spec.metadata["choices"]
    )


def _parameter(
    name: str, annotation: Any, shown: str, default: Any, *, choices: Sequence[str] = ()
) -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    if annotation is bool:
        option = typer.Option(f"{flag}/--no-{flag[2:]}", help=shown, show_default=False)
    else:
        known = f" (default: {default})" if default not in ((), None, "") else ""
        option = typer.Option(
            flag,
            help=f"{shown.rstrip('.')}{known}.",
            show_default=False,
            autocompletion=(lambda: list(choices)) if choices else None,
        )
    if typing.get_origin(annotation) is tuple:
        annotation = list[typing.get_args(annotation)[0]]  # type: ignore[misc]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation | None, option]
    )
