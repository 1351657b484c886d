"""What the documents tell a reader to type works as written."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

from interp.data.check import check_facts
from tests.support.command import run, run_process

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_two_commands_stand_as_they_are_run():
    assert "pip install -c constraints.txt -e . && interp demo" in README
    assert 'pip install -c constraints.txt -e ".[test]" && pytest' in README


def test_every_flag_of_every_command_shown_exists():
    lines = [line.partition("-m interp ") for block in blocks("bash") for line in block.splitlines()]
    shown = [
        f"interp {tail}" if tail else head for head, _, tail in lines if tail or head.startswith("interp ")
    ]
    assert len(shown) >= 2
    for line in shown:
        words = shlex.split(line.partition("   ")[0])[1:]
        command = words[:2] if words[0] in ("train", "data") else words[:1]
        help_text = run(*command, "--help", columns=400).stdout
        for flag in (w for w in words if w.startswith("--")):
            assert flag in help_text, line


@pytest.mark.slow
def test_the_demo_measures_compares_and_draws(tmp_path):
    """As a user runs it: its own process, nothing to download, no warning on the way."""
    done = run_process("-m", "interp", "demo", "--out", tmp_path / "interp-demo", cwd=tmp_path)
    assert done.code == 0, done.stderr
    for text in ("demo: 9 cells, 9 done", "Claims", "noise floor", "report.html"):
        assert text in done.stdout
    answer = done.stdout.partition("The answer\n")[2].partition("\n\nWhat to try next")[0].splitlines()
    assert answer[-1].startswith("  Of 10 claims, ")
    assert all(line.endswith((".", ".csv.")) for line in answer)
    written = {p.name for p in (tmp_path / "interp-demo").iterdir()}
    assert {"report.html", "claims.csv", "figures", "tables", "methods.md"} <= written
    assert not [name for name in written if name.endswith((".tmp", ".partial"))]


def test_the_study_shown_is_read(tmp_path):
    from analyses.study.file import read_study

    _, text = blocks("toml")
    (tmp_path / "grpo.toml").write_text(text)
    study = read_study(tmp_path / "grpo.toml")
    assert [(member.name, len(member.specs)) for member in study.members] == [
        ("base", 1),
        ("grpo", 3),
        ("sft", 3),
    ]
    assert [entry.name for entry in study.entries] == ["evaluate", "specialization", "routing"]


@pytest.mark.slow
def test_the_notebook_example_runs(tmp_path, monkeypatch):
    (code,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    comparison = namespace["comparison"]
    assert np.isfinite(comparison.change.value)
    assert np.shape(namespace["rates"]) == (352,)
    assert len(namespace["table"])


def test_the_row_of_a_facts_file_shown_is_right(tmp_path):
    (row,) = blocks("json")
    (tmp_path / "facts.jsonl").write_text(row.replace("\n", " "), encoding="utf-8")
    assert check_facts(tmp_path / "facts.jsonl").violations == ()


def test_the_configuration_shown_is_read():
    text, _ = blocks("toml")
    options = {option.replace("_", "-") for option in tomllib.loads(text)}
    assert all(f"--{option}" in run("specialization", "--help", columns=400).stdout for option in options)
