"""Saved training states and results prove what they hold: a damaged one is named, the one before it used."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal

import pytest

from interp.errors import CheckpointError, Interrupted
from interp.manifest import COMPLETE, damage, seal
from interp.model.checkpoints import resolve_checkpoint
from tests.support.extras import needed
from tests.support.training_runs import (
    grpo_settings,
    little_facts,
    records,
    same,
    save_taught,
    settings,
    train,
    weights,
)

needed("trl")

pytestmark = [pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")]


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


DAMAGES = {
    "a flipped bit": (flip, "has other content than was written"),
    "a cut file": (cut, r"has \d+ bytes, \d+ were written"),
    "a missing file": (lambda file: file.unlink(), "is missing"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    save_taught(folder / "parent")
    little_facts().save(folder / "facts.jsonl")
    return folder


def told(place, out, **changes):
    return settings(place, out=out, steps=4, save_every=2, lr=1e-3, schedule="constant", **changes)


@pytest.fixture(scope="module")
def whole(place):
    """A finished run, and what it says."""
    out = place / "whole"
    train("sft", told(place, out))
    return out


@pytest.fixture
def cut_short(whole, tmp_path):
    """The run as a kill after its last state leaves it."""
    shutil.copytree(whole, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "final")
    return tmp_path / "out"


# states


def test_every_file_of_a_state_is_in_its_manifest(whole):
    for folder in (whole / "checkpoint-4", whole / "final"):
        listed = json.loads((folder / COMPLETE).read_text())["files"]
        assert {*listed, COMPLETE} == {file.name for file in folder.iterdir()}
        assert {name: row["bytes"] for name, row in listed.items()} == {
            name: (folder / name).stat().st_size for name in listed
        }
        assert damage(folder) == ""


@pytest.mark.parametrize("harm", DAMAGES)
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt"])
def test_a_damaged_state_is_named_and_the_one_before_used(place, whole, cut_short, name, harm, caplog):
    act, reason = DAMAGES[harm]
    act(cut_short / "checkpoint-4" / name)
    train("sft", told(place, cut_short))
    (line,) = [text for text in caplog.messages if "is damaged" in text]
    assert line.startswith(f"{cut_short / 'checkpoint-4'} is damaged ({name} ")
    assert line.endswith("); the state before it is used.")
    assert re.search(reason, line)
    assert same(weights(cut_short), weights(whole))
    assert [record["step"] for record in records(cut_short)] == [1, 2, 3, 4]


def test_where_all_states_are_damaged_the_run_begins_anew(place, whole, cut_short, caplog):
    flip(cut_short / "checkpoint-2" / "scheduler.pt")
    (cut_short / "checkpoint-4" / COMPLETE).write_text("{}")
    train("sft", told(place, cut_short))
    assert [text.split(" is damaged")[0] for text in caplog.messages if "is damaged" in text] == [
        str(cut_short / "checkpoint-4"),
        str(cut_short / "checkpoint-2"),
    ]
    assert same(weights(cut_short), weights(whole))


def test_files_are_on_the_disk_before_the_mark(tmp_path, monkeypatch):
    """Every file and the folder are synced, then the manifest gets its name, then the folder is synced."""
    (tmp_path / "a").write_text("1")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_text("2")
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: done.append(os.readlink(f"/proc/self/fd/{handle}")) or sync(handle)
    )
    monkeypatch.setattr(os, "replace", lambda a, b: done.append("mark") or replace(a, b))
    seal(tmp_path)
    mark = done.index("mark")
    assert {str(tmp_path / "a"), str(tmp_path / "deep" / "b"), str(tmp_path)} <= set(done[:mark])
    assert str(tmp_path) in done[mark:]


# results


def test_a_damaged_result_is_written_again(place, whole, tmp_path, caplog):
    shutil.copytree(whole, tmp_path / "out")
    flip(tmp_path / "out" / "final" / "model.safetensors")
    train("sft", told(place, tmp_path / "out"))
    assert any("final is damaged (model.safetensors has other content" in text for text in caplog.messages)
    assert same(weights(tmp_path / "out"), weights(whole))


def test_a_result_of_other_sizes_is_not_opened(whole, tmp_path):
    shutil.copytree(whole / "final", tmp_path / "final")
    resolve_checkpoint(str(tmp_path / "final"))
    for name in ("README.md", "generation_config.json"):  # for people
        (tmp_path / "final" / name).write_text("{}")
    resolve_checkpoint(str(tmp_path / "final"))
    tokenizer = tmp_path / "final" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    with pytest.raises(
        CheckpointError, match=r"is not as it was written: tokenizer.json has \d+ bytes, \d+ were"
    ):
        resolve_checkpoint(str(tmp_path / "final"))
    (tmp_path / "final" / COMPLETE).unlink()
    resolve_checkpoint(str(tmp_path / "final"))


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"files": 3}', '{"files": {"a": {}}}'])
def test_a_damaged_manifest_is_damage(tmp_path, content):
    (tmp_path / COMPLETE).write_text(content)
    assert damage(tmp_path) == f"{COMPLETE} does not list its files"
    (tmp_path / COMPLETE).unlink()
    assert damage(tmp_path) == f"{COMPLETE} is missing"


# what a refused or stopped run leaves


def test_a_refused_run_does_not_reserve_its_folder(place, tmp_path):
    """Refused before the parent is opened, after it, and at the first step: other settings may run."""
    out = tmp_path / "out"
    from interp.errors import InterpError

    for wrong in ({"steps": 0, "epochs": 0}, {"max_prompt_tokens": 1}, {"lr": float("inf")}):
        with pytest.raises(InterpError):
            train("sft", told(place, out) | wrong)
    assert not (out / ".owner").exists()
    train("sft", told(place, out, lora_rank=2))
    assert (out / "final" / "adapter_model.safetensors").exists()
    with pytest.raises(CheckpointError, match="holds a run with other settings"):
        train("sft", told(place, out))


def test_an_adapter_is_written_in_one_order(place, tmp_path):
    train("sft", told(place, tmp_path / "out", lora_rank=2))
    for folder in ("final", "checkpoint-4"):
        config = json.loads((tmp_path / "out" / folder / "adapter_config.json").read_text())
        assert len(config["target_modules"]) == 7
        assert config["target_modules"] == sorted(config["target_modules"])


@pytest.mark.parametrize("method", ["calm", "cm-align"])
def test_samples_are_kept(method, place, tmp_path, monkeypatch):
    """Stopped while it samples, and killed after the pairs: nothing is sampled twice, the card is equal."""
    from training.methods import METHODS
    from training.pairs import samples
    from training.run.loop import Run

    given = {
        **grpo_settings(place, generations=4, sample_batch=12, steps=2, lr=1e-3),
        "pairs_per_step": 2,
    }
    for name in ("facts_per_step", "rollouts_every", "dead_run_patience"):
        given.pop(name, None)
    if method == "cm-align":
        given["canonical"] = True
    reference, out = tmp_path / "whole", tmp_path / "out"
    train(method, {**given, "out": reference})
    drawn, real = [], samples.complete
    monkeypatch.setattr(samples, "complete", lambda *a: drawn.append(len(a[2])) or real(*a))

    def press(label, done, total):
        if (label, done) == ("sampling", 24):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="Stopped after 24 of 72 prompts; their samples are kept"):
        METHODS[method].train(METHODS[method].config(**{**given, "out": out}), press)
    (out / "samples" / "000000.json").write_text("{")  # a damaged one is drawn again

    def killed(self, trainer):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            train(method, {**given, "out": out})
    assert sum(drawn) == 24 + 72 - 12
    assert not (out / "samples").exists()
    train(method, {**given, "out": out})
    assert sum(drawn) == 24 + 72 - 12
    assert same(weights(out), weights(reference))
    cards = [json.loads((folder / "final" / "card.json").read_text()) for folder in (out, reference)]
    assert cards[0]["cost"]["tokens"] == cards[1]["cost"]["tokens"]
    assert cards[0]["data"] == cards[1]["data"]
    assert cards[0]["cost"]["wall_seconds"] > 0
