"""Every numeric flag of every command against odd values: refused before work, or as its help states."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jaxtyping import TypeCheckError
from typer.main import get_command

import analyses.plan
from interp import cli
from interp.commands import measures, train
from interp.config import Options, bounds_of, option_fields
from interp.errors import ConfigError, InterpError
from tests.support.command import run

ODD = ("-1", "-0.5", "0", "1", "1e30", "1" + 30 * "0", "nan", "inf", "abc", "")
_BOUNDS = re.compile(r"\b(from|above) (-?[\d.,]*\d) (to|and at most|and below) (-?[\d.,]*\d)")
_COMMAND = get_command(cli.app)
_NEEDED = {"import-lm-eval": ("samples.jsonl", "--out", "x.npz")}


class Reached(InterpError):
    """The command began its work."""

    exit_code = 99


def walked(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from walked(inner, (*path, name))
    else:
        yield path, command


def numeric(command: Any) -> list[Any]:
    """The flags that take a number."""
    descriptors = [(p, p.type_descriptor.annotation) for p in command.params if hasattr(p, "type_descriptor")]
    return [parameter for parameter, kind in descriptors if kind in (int, float)]


COMMANDS = [(path, command) for path, command in walked(_COMMAND) if numeric(command)]


def test_all_commands_that_take_numbers_are_walked():
    names = {" ".join(path) for path, _ in COMMANDS}
    assert {"specialization", "evaluate", "patch", "probe", "train grpo", "train organism"} <= names
    assert sum(len(numeric(command)) for _, command in COMMANDS) > 200


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_odd_numbers_are_refused_in_one_line_or_within_what_help_states(
    path, command, no_model, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "app", _COMMAND)  # built once
    for where, name in (
        (measures, "run_command"),
        (train, "_train"),
        (train, "_require_extra"),
        (train, "progress_bars"),
        (analyses.plan, "facts_of"),
    ):
        monkeypatch.setattr(where, name, reached)
    for parameter in numeric(command):
        least, most = stated(parameter)
        for value in ODD:
            flag = parameter.opts[0]
            finished = run(*path, *_NEEDED.get(path[0], ()), f"{flag}={value}")
            what = f"{' '.join(path)} {flag}={value}: {finished}"
            assert finished.code in (2, 99), what
            assert len(finished.stderr.splitlines()) == 1, what
            assert finished.stdout == "", what
            if not within(value, parameter.type_descriptor.annotation, least, most):
                assert finished.code == 2, what
                assert flag in finished.stderr or f"'{parameter.name}'" in finished.stderr, what
    assert not list(tmp_path.iterdir())


def reached(*arguments: object, **options: object) -> None:
    raise Reached("The work began.")


def stated(parameter: Any) -> tuple[float, float]:
    """The bounds in the help of a flag, as an interval that leaves out what is excluded."""
    found = _BOUNDS.search(parameter.help)
    assert found, f"{parameter.opts[0]}: {parameter.help}"
    least, most = (float(found[i].replace(",", "")) for i in (2, 4))
    least = math.nextafter(least, math.inf) if found[1] == "above" else least
    return least, math.nextafter(most, -math.inf) if found[3] == "and below" else most


def within(value: str, kind: type, least: float, most: float) -> bool:
    try:
        number = kind(value)
    except ValueError:
        return False
    return least <= number <= most


# the same, from Python


def kinds(base: type = Options) -> Iterator[type]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


NUMBERS = {
    (spec.name, bounds): kind
    for kind in kinds()
    for _, spec in option_fields([kind])
    if (bounds := bounds_of(kind, spec))
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e30, 1e30, 10**400, True])
def test_settings_made_in_python_are_as_strict(value):
    for (name, _), kind in NUMBERS.items():
        with pytest.raises((ConfigError, TypeCheckError)) as caught:  # the latter by the tests' own check
            kind(**{name: value})
        if caught.type is ConfigError:
            assert f"'{name}' is " in str(caught.value)
            assert "\n" not in str(caught.value)
    assert len(NUMBERS) > 50


@pytest.mark.parametrize(
    ("command", "flag", "value"),
    [
        ("train grpo", "--max-grad-norm", "nan"),
        ("train grpo", "--max-grad-norm", "-1"),
        ("train grpo", "--kl", "-1"),
        ("train grpo", "--collapse", "nan"),
        ("train sft", "--warmup", "nan"),
        ("train grpo", "--temperature", "nan"),
        ("train grpo", "--repetition-penalty", "0"),
        ("train sft", "--lr", "inf"),
        ("train sft", "--weight-decay", "nan"),
        ("train grpo", "--generations", "1000000000"),
        ("train sft", "--lora-rank", "1000000000"),
    ],
)
def test_what_was_accepted_before(command, flag, value, tmp_path, no_model):
    name = flag[2:].replace("-", "_")
    finished = run(*command.split(), f"{flag}={value}", "--out", tmp_path / "out")
    assert (finished.code, finished.stdout) == (2, "")
    assert finished.last_line.startswith(f"interp: flags: '{name}' is ")
    assert not (tmp_path / "out").exists()
