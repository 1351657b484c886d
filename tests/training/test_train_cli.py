"""`interp train ...` as a user types it: from flags to files, help, typos, and what cannot work."""

from __future__ import annotations

import json
import sys
from dataclasses import fields

import pytest

from interp import cli
from tests.training.runs import needed
from training.methods import METHODS as REGISTRY
from training.methods import PlanConfig

needed()

METHODS = tuple(REGISTRY)


@pytest.fixture
def interp(monkeypatch, capsys):
    """Run `interp train ...` in this process and return exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.setattr(sys, "argv", ["interp", "train", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def refused(interp):
    """Run a command that must fail in one line, and return it."""

    def call(*arguments: object) -> str:
        code, out, err = interp(*arguments)
        lines = [line for line in err.splitlines() if line.startswith("interp: ")]
        assert (code, out, len(lines)) == (2, "", 1), err
        return lines[0].removeprefix("interp: ")

    return call


@pytest.mark.parametrize("method", [*METHODS, "plan"])
def test_every_key_is_a_flag_and_help_has_an_example(interp, method):
    code, out, _ = interp(method, "--help")
    shown = " ".join(out.replace("│", " ").split())
    assert code == 0
    assert f"Example: interp train {method}" in shown.replace("`", "")
    kind = PlanConfig if method == "plan" else REGISTRY[method].config
    joined = shown.replace(" ", "")
    for field in fields(kind):
        assert f"--{field.name.replace('_', '-')}" in joined, field.name


@pytest.mark.slow
def test_sft_from_flags_to_files_and_again(interp, refused, tmp_path):
    out = tmp_path / "run"
    arguments = ("sft", "--model", "organism:final", "--languages", "en,sw", "--limit", 6, "--steps", 2)
    arguments += ("--facts-per-step", 3, "--eval-facts", 2, "--lr", 1e-4, "--out", out)
    code, shown, err = interp(*arguments)
    assert code == 0, err
    assert "sft from organism:final" in shown
    assert str(out / "final") in shown
    card = json.loads((out / "final" / "card.json").read_text())
    assert (card["method"], card["data"]["n_facts"], card["resolved"]["steps"]) == ("sft", 6, 2)
    assert "sft from organism:final" in interp(*arguments)[1]  # finished: said again, not done again
    changed = refused(*arguments, "--lr", 1e-3)
    assert "lr: 0.0001 in the folder, 0.001 requested" in changed


def test_the_plan_names_what_is_dropped_and_what_fits(interp):
    asked = ("--processes", 2, "--facts-per-step", 4, "--memory", 0.01)
    code, out, err = interp("plan", "--model", "organism:final", *asked)
    assert code == 0, err
    assert "857 facts, 96 rows each, 2 processes, 0.01 GB per device" in out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if "│" in line]
    assert rows[0][:6] == ["4", "192", "96", "2", "214", "1"]
    assert rows[0][-1] == "no"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("grpo",), "No --model to start from; for example --model organism:final."),
        (("grpo", "--model", "organism:finl"), "No shipped checkpoint 'organism:finl'"),
        (("grpo", "--pooling", "gruop"), "Did you mean 'group'?"),
        (
            ("sft", "--target", "letter"),
            "target letter needs the options in the prompt; set prompt to options.",
        ),
        (("sft", "--consistency", 0.5), "set target to letter, or consistency to 0."),
        (("grpo", "--score-empty", 0), "which is not the lowest"),
        (("plan", "--model", "organism:final", "--processes", 7), "Set facts_per_step to 7."),
        (("family", "--methods", "gpro"), "No member 'gpro'. Did you mean 'grpo'?"),
    ],
)
def test_what_cannot_work_is_one_line(refused, arguments, said, tmp_path):
    out = () if arguments[0] == "plan" else ("--out", tmp_path / "run")
    assert said in refused(*arguments, *out)
