"""Command-line flags made from the configuration dataclasses of `interp.config`: one flag per field, plus --config."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from interp.config import field_types, load_config

__all__ = ["configured"]


def configured(kind: type) -> Callable[[Callable[[Any], None]], Callable[..., None]]:
    """Turn a function of one configuration into a command with a flag per field, and ``--config FILE.toml``.

    A flag that is not given is left to the TOML file, then to the field's default.
    """

    def decorate(function: Callable[[Any], None]) -> Callable[..., None]:
        def command(config: Path | None = None, **flags: Any) -> None:
            function(load_config(kind, config, _given(flags)))

        parameters = [_parameter("config", Path, "TOML file with any of these keys; flags win.", None)]
        parameters += [_of_field(spec, field_types(kind)[spec.name]) for spec in fields(kind)]
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given; a repeated one as a tuple."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in flags.items() if v is not None and v != []}


def _of_field(spec: Field[Any], annotation: Any) -> inspect.Parameter:
    default = spec.default_factory() if spec.default_factory is not MISSING else spec.default
    shown = spec.metadata["help"]
    if spec.metadata["choices"]:
        shown = f"{shown.rstrip('.')}: {', '.join(spec.metadata['choices'])}."
    return _parameter(spec.name, annotation, shown, default, choices=spec.metadata["choices"])


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
