"""`interp train ...` as a user types it: from flags to files, help, typos, and what cannot work."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from tests.support.command import Finished, refused, run
from tests.support.extras import needed
from training.methods import METHODS as REGISTRY
from training.methods import PlanConfig

needed("trl")

METHODS = tuple(REGISTRY)


def train(*arguments: object) -> Finished:
    return run("train", *arguments, columns=400)


@pytest.mark.parametrize("method", [*METHODS, "plan"])
def test_every_key_is_a_flag_and_help_has_an_example(method):
    code, out, _ = train(method, "--help")
    shown = " ".join(out.replace("│", " ").split())
    assert code == 0
    assert f"Example: interp train {method}" in shown.replace("`", "")
    kind = PlanConfig if method == "plan" else REGISTRY[method].config
    joined = shown.replace(" ", "")
    for field in fields(kind):
        assert f"--{field.name.replace('_', '-')}" in joined, field.name


@pytest.mark.slow
def test_sft_from_flags_to_files_and_again(tmp_path):
    out = tmp_path / "run"
    arguments = ("sft", "--model", "organism:final", "--languages", "en,sw", "--limit", 6, "--steps", 2)
    arguments += ("--facts-per-step", 3, "--eval-facts", 2, "--lr", 1e-4, "--out", out)
    code, shown, err = train(*arguments)
    assert code == 0, err
    assert "sft from organism:final" in shown
    assert str(out / "final") in shown
    card = json.loads((out / "final" / "card.json").read_text())
    assert (card["method"], card["data"]["n_facts"], card["resolved"]["steps"]) == ("sft", 6, 2)
    assert "sft from organism:final" in train(*arguments).stdout  # finished: said again, not done again
    changed = refused("train", *arguments, "--lr", 1e-3)
    assert "lr: 0.0001 in the folder, 0.001 requested" in changed


def test_the_plan_names_what_is_dropped_and_what_fits():
    asked = ("--processes", 2, "--facts-per-step", 4, "--memory", 0.01)
    code, out, err = train("plan", "--model", "organism:final", *asked)
    assert code == 0, err
    assert "857 facts, 96 rows each, 2 processes, 0.01 GB per device" in out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if "│" in line]
    assert rows[0][:6] == ["4", "192", "96", "2", "214", "1"]
    assert rows[0][-1] == "no"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("grpo",), "No --model to start from; for example --model organism:final."),
        (
            ("grpo", "--model", "organism:finl"),
            "No shipped checkpoint 'organism:finl'. Did you mean 'organism:final'?",
        ),
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
def test_what_cannot_work_is_one_line(arguments, said, tmp_path):
    out = () if arguments[0] == "plan" else ("--out", tmp_path / "run")
    assert said in refused("train", *arguments, *out)
