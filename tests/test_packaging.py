"""What a user meets first: one version number, typed packages, help under both flags, shell completion."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import interp
from interp import cli
from tests.support.command import run

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def completions(*words: str) -> list[str]:
    """What the shell offers for the last word."""
    line = {"_INTERP_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["interp", *words])}
    shell = CliRunner(env={**line, "COMP_CWORD": str(len(words))})
    return shell.invoke(cli.app, prog_name="interp").output.split()


def test_the_version_stands_once_and_is_printed():
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "interp/__init__.py"
    assert version("interp") == interp.__version__
    assert run("--version").stdout == f"interp {interp.__version__}\n"


@pytest.mark.parametrize("package", PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
def test_every_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize("command", [[], ["patch"], ["train"], ["train", "sft"]], ids=" ".join)
def test_both_flags_of_help(command):
    short, long = (run(*command, flag) for flag in ("-h", "--help"))
    assert short.code == 0
    assert "Usage:" in short.stdout
    assert short.stdout == long.stdout


def test_the_module_is_called_as_the_command_is(monkeypatch, capsys):
    """Its help, and the completion script that it prints, are those of ``interp``."""
    monkeypatch.setattr(sys, "argv", [str(ROOT / "interp" / "__main__.py"), "train", "sft", "-h"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "Usage: interp train sft" in capsys.readouterr().out


def test_completion_offers_commands_flags_and_choices():
    assert completions("pat") == ["patch"]
    assert completions("patch", "--si") == ["--site"]
    assert completions("patch", "--site", "resid_m") == ["resid_mid"]
    assert set(completions("train", "cm")) == {"cm-align"}
