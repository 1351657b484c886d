"""A run that is killed or stopped and started again gives, to the bit, what it would have given."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter

import pytest
import torch

from interp.errors import CheckpointError, Interrupted
from tests.support.extras import needed
from tests.support.training_runs import (
    grpo_settings,
    little_facts,
    records,
    same,
    save_taught,
    settings,
    start,
    stop_at,
    train,
    wait,
    weights,
)

needed("trl")
from training.grpo import train_grpo  # noqa: E402
from training.methods import METHODS, GrpoConfig  # noqa: E402
from training.run import loop  # noqa: E402
from training.run.folder import COMPLETE  # noqa: E402
from training.run.metrics import MetricsFile  # noqa: E402
from training.sft import train_sft  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
LONG = {"steps": 9, "save_every": 2, "lr": 1e-3}  # three epochs of three steps


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    save_taught(folder / "parent")
    little_facts().save(folder / "facts.jsonl")
    return folder


def told(method: str, place, out, **changes) -> dict:
    return {"grpo": grpo_settings, "sft": settings}[method](place, **{"out": out, **LONG, **changes})


@pytest.fixture(scope="module")
def whole(place):
    """The folder of a run that nothing happened to, by method."""
    done = {}

    def run(method):
        if method not in done:
            done[method] = place / f"whole-{method}"
            train(method, told(method, place, done[method]))
        return done[method]

    return run


def states(out) -> list[str]:
    return sorted(folder.name for folder in out.glob("checkpoint-*") if (folder / COMPLETE).exists())


def assert_as_if_nothing_happened(out, reference) -> None:
    assert same(weights(out), weights(reference))
    steps = Counter(record["step"] for record in records(out))
    assert steps == dict.fromkeys(range(1, LONG["steps"] + 1), 1)
    ours = ("wall_seconds", "device_hours")
    for one, other in zip(records(out), records(reference), strict=True):
        assert {k: v for k, v in one.items() if k not in ours} == {
            k: v for k, v in other.items() if k not in ours
        }
    costs = [record["wall_seconds"] for record in records(out)]
    assert costs == sorted(costs)
    card, expected = (json.loads((o / "final" / "card.json").read_text()) for o in (out, reference))
    assert card["cost"]["tokens"] == expected["cost"]["tokens"] > 0
    assert not list(out.glob("*.tmp"))


# kills


@pytest.mark.parametrize("method", ["grpo", "sft"])
def test_kills_in_the_first_and_in_a_later_epoch(method, place, tmp_path, whole):
    """SIGKILL after step 3 of 3 x 3, again after step 5 of what was resumed, then on to the end."""
    out = tmp_path / "out"
    stop_at(start(method, told(method, place, out)), out, 3)
    assert states(out)[0] == "checkpoint-2"
    assert not (out / "final").exists()
    stop_at(start(method, told(method, place, out)), out, 5)
    assert "checkpoint-4" in states(out)
    assert not (out / "final").exists()
    half = out / "checkpoint-99"  # newer than all, but its writing was cut short
    shutil.copytree(out / "checkpoint-4", half, ignore=shutil.ignore_patterns(COMPLETE))
    with (out / "metrics.jsonl").open("a") as stream:
        stream.write('{"event": "step", "st')
    before = records(out)[-1]["wall_seconds"]
    train(method, told(method, place, out))
    assert not half.exists()
    assert_as_if_nothing_happened(out, whole(method))
    assert records(out)[-1]["wall_seconds"] > before


def slow_second(rank: int) -> None:
    """The second process takes its time to write its part of a state."""
    if rank:
        from transformers import Trainer

        real = Trainer._save_rng_state
        Trainer._save_rng_state = lambda self, folder: (time.sleep(0.3), real(self, folder))


@pytest.mark.parametrize("method", ["grpo", pytest.param("sft", marks=pytest.mark.slow)])
def test_two_processes_are_killed_and_go_on(method, place, tmp_path):
    reference, out = tmp_path / "whole", tmp_path / "out"
    first = start(method, told(method, place, reference), 2)
    assert wait(first) == [0, 0]
    started = start(method, told(method, place, out), 2, slow_second)
    marker = out / "checkpoint-2" / COMPLETE
    while not marker.exists():
        assert all(process.exitcode is None for process in started)
        time.sleep(0.001)
    assert (marker.parent / "rng_state_1.pth").exists()  # whole means: of all processes
    stop_at(started, out, 5)
    assert not (out / "final").exists()
    assert wait(start(method, told(method, place, out), 2)) == [0, 0]
    assert_as_if_nothing_happened(out, reference)


# signals


@pytest.mark.parametrize(
    ("method", "number"), [("grpo", signal.SIGTERM), ("grpo", signal.SIGINT), ("sft", signal.SIGTERM)]
)
def test_a_signal_saves_and_ends(method, number, place, tmp_path, whole):
    out = tmp_path / "out"

    def press(label, done, total):
        assert (label, total) == ("training steps", 9)
        if done == 5:
            os.kill(os.getpid(), number)

    function = {"grpo": train_grpo, "sft": train_sft}[method]
    config = METHODS[method].config(**told(method, place, out))
    handler = signal.getsignal(number)
    with pytest.raises(Interrupted, match=r"Stopped after 5 of 9 steps; they are saved\.") as caught:
        function(config, press)
    assert caught.value.exit_code == 130
    assert signal.getsignal(number) is handler
    assert "checkpoint-5" in states(out)
    function(config)
    assert_as_if_nothing_happened(out, whole(method))


def test_a_signal_to_one_of_two_processes_stops_both(place, tmp_path):
    out = tmp_path / "out"
    started = start("grpo", told("grpo", place, out, steps=300, save_every=100), 2)
    stop_at(started[1:], out, 2, signal.SIGTERM)
    assert wait(started) == [130, 130]
    assert len(states(out)) == 1


# what may change, and what may not


def test_another_configuration_is_refused(place, whole):
    out = whole("grpo")
    told_other = told("grpo", place, out, lr=0.5, generations=4, languages="en,de")
    with pytest.raises(CheckpointError) as caught:
        train("grpo", told_other)
    text = str(caught.value)
    assert f"{out} holds a run with other settings (" in text
    assert "generations: 3 in the folder, 4 requested" in text
    assert "languages: en,de,sw in the folder, en,de requested" in text
    assert "lr: 0.001 in the folder, 0.5 requested" in text
    assert "seed" not in text
    assert "\n" not in text


def test_other_facts_or_another_parent_are_refused(place, tmp_path, whole):
    less, parent = tmp_path / "facts.jsonl", save_taught(tmp_path / "parent")
    little_facts(5).save(less)
    (parent / "generation_config.json").write_text("{}")
    from safetensors.torch import load_file, save_file

    changed = load_file(parent / "model.safetensors")
    changed["model.norm.weight"] += 1
    save_file(changed, parent / "model.safetensors", {"format": "pt"})
    out = whole("grpo")
    with pytest.raises(CheckpointError, match=r"data: .*; facts_digest: \w+ in the folder, \w+ requested"):
        train("grpo", told("grpo", place, out, data=str(less)))
    with pytest.raises(CheckpointError, match=r"parent_fingerprint: \w+ in the folder, \w+ requested"):
        train("grpo", told("grpo", place, out, model=str(parent)))


def test_a_finished_run_returns_at_once(place, whole, monkeypatch):
    out = whole("grpo")
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    monkeypatch.setattr(loop, "open_parent", lambda *a, **k: pytest.fail("the parent was opened"))
    free = told("grpo", place, out, save_every=7, eval_every=3, eval_facts=2, keep=3)
    assert train("grpo", free) == out / "final"
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before


def test_fresh_starts_anew(place, tmp_path):
    out = tmp_path / "out"
    train("grpo", told("grpo", place, out, steps=4))
    first = weights(out)
    (out / "mine.txt").write_text("not the run's")
    train("grpo", told("grpo", place, out, steps=3, lr=5e-3, fresh=True))
    assert not same(first, weights(out))
    assert [record["step"] for record in records(out)] == [1, 2, 3]
    assert states(out) == ["checkpoint-2", "checkpoint-3"]
    assert (out / "mine.txt").exists()
    train("grpo", told("grpo", place, out, steps=4, fresh=True))
    assert same(first, weights(out))


def test_the_last_two_states_stay(whole):
    assert states(whole("grpo")) == ["checkpoint-8", "checkpoint-9"]


def test_evaluation_changes_no_weight(place, tmp_path, whole):
    out = tmp_path / "out"
    train("grpo", told("grpo", place, out, eval_facts=2, eval_every=2))
    assert same(weights(out), weights(whole("grpo")))
    asked = Counter((r["split"], r["step"]) for r in records(out, "evaluation"))
    assert asked == {(s, n): 1 for s in ("train", "validation") for n in (0, 2, 4, 6, 8, 9)}


def test_records_after_a_step_are_cut(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        file.add({"event": "step", "step": step, "loss": float("nan"), "text": "ß"})
    with file.file.open("a") as stream:
        stream.write('{"event": "st')
    file.truncate(2)
    assert file.records() == [{"event": "step", "step": n, "loss": None, "text": "ß"} for n in (1, 2)]
    file.truncate(-1)
    assert file.records() == []


def test_the_random_state_is_that_of_the_seed(place, tmp_path, whole):
    """What was drawn before in the same process does not matter."""
    torch.manual_seed(12345)
    torch.rand(77)
    out = tmp_path / "out"
    train("grpo", GrpoConfig(**told("grpo", place, out)).__dict__)
    assert same(weights(out), weights(whole("grpo")))


@pytest.mark.parametrize("method", ["grpo", "sft"])
def test_a_kill_between_the_last_step_and_the_result_takes_no_further_step(method, place, tmp_path):
    """Step 4 is in the middle of the second epoch: resuming there would go on to step 5."""
    out = tmp_path / "out"
    given = told(method, place, out, steps=4, schedule="constant")
    train(method, given)
    expected, logged = weights(out), records(out)
    shutil.rmtree(out / "final")
    train(method, given)
    assert same(weights(out), expected)
    assert records(out) == logged
    assert states(out) == ["checkpoint-2", "checkpoint-4"]
    assert json.loads((out / "final" / "card.json").read_text())["resolved"]["steps"] == 4


def test_an_adapter_as_parent_of_a_run_in_two_processes(place, tmp_path):
    train("sft", told("sft", place, tmp_path / "adapter", steps=2, lora_rank=2))
    given = told("sft", place, tmp_path / "out", model=str(tmp_path / "adapter" / "final"), steps=2)
    assert wait(start("sft", given, processes=2)) == [0, 0]
    assert (tmp_path / "out" / "parent" / "merged.json").exists()
    assert (tmp_path / "out" / "final" / "model.safetensors").exists()
