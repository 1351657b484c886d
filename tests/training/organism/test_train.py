import errno
import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from analyses.organism import add_accuracy
from interp.errors import CheckpointError, Interrupted, NoSpaceError
from training.organism import train as organism
from training.organism.card import read_card
from training.organism.train import train_organism


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, few, toy):
    return train_organism(tmp_path_factory.mktemp("whole"), toy, facts=few)


def weights(out, name="final"):
    return (out / name / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("name", "step"), [("early", 2), ("final", 6)])
def test_checkpoints_load_and_say_what_they_are(uninterrupted, few, toy, name, step):
    folder = uninterrupted / name
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.config.model_type == "qwen2"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    assert tokenizer.eos_token_id == model.config.eos_token_id == model.generation_config.eos_token_id
    assert tokenizer.pad_token_id == model.config.pad_token_id
    card = read_card(folder)
    assert (card["checkpoint"], card["step"], card["parent"]) == (name, step, None)
    assert card["recipe"] == toy.to_dict()
    assert card["data"]["facts_digest"] == few.digest
    assert card["tokens"] > 0
    assert "# Organism" in (folder / "README.md").read_text(encoding="utf-8")


def test_nothing_but_the_checkpoints_is_left(uninterrupted):
    assert sorted(path.name for path in uninterrupted.iterdir()) == ["early", "final", "recipe.json"]
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in (uninterrupted / "final").iterdir())


def test_early_is_not_final(uninterrupted):
    assert weights(uninterrupted, "early") != weights(uninterrupted)


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tmp_path, uninterrupted, few, toy):
    torch.manual_seed(99)
    assert weights(train_organism(tmp_path / "same", toy, facts=few)) == weights(uninterrupted)
    assert weights(train_organism(tmp_path / "other", replace(toy, seed=1), facts=few)) != weights(
        uninterrupted
    )


@pytest.mark.parametrize("stop", [1, 2, 4])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_continues_to_the_same_weights(tmp_path, uninterrupted, few, toy, stop, number):
    def interrupt(done, total, loss):
        if done == stop:
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match=f"Stopped after {stop} of 6 steps"):
        train_organism(tmp_path, toy, interrupt, facts=few)
    assert not (tmp_path / "final").exists()
    steps = []
    train_organism(tmp_path, toy, lambda done, total, loss: steps.append(done), facts=few)
    assert steps == list(range(stop + 1, 7))
    assert weights(tmp_path) == weights(uninterrupted)
    assert weights(tmp_path, "early") == weights(uninterrupted, "early")
    assert not (tmp_path / ".state").exists()


def test_a_run_that_was_killed_continues_from_the_last_state(tmp_path, uninterrupted, few, toy):
    def fail(done, total, loss):
        if done == 5:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train_organism(tmp_path, toy, fail, facts=few, save_every=0.0)
    steps = []
    train_organism(tmp_path, toy, lambda done, total, loss: steps.append(done), facts=few)
    assert steps == [5, 6]
    assert weights(tmp_path) == weights(uninterrupted)


def test_what_is_finished_is_not_done_again(uninterrupted, few, toy):
    def never(done, total, loss):
        raise AssertionError("a step was taken")

    before = (uninterrupted / "final" / "card.json").stat().st_mtime_ns
    assert train_organism(uninterrupted, toy, never, facts=few) == uninterrupted
    assert (uninterrupted / "final" / "card.json").stat().st_mtime_ns == before


def test_another_recipe_or_other_facts_are_refused_by_name(uninterrupted, few, toy):
    with pytest.raises(
        CheckpointError,
        match=r"other settings \(lr: 0\.003 in the folder, 0\.001 requested; seed: 0 in the folder, 3 req",
    ):
        train_organism(uninterrupted, replace(toy, lr=1e-3, seed=3), facts=few)
    with pytest.raises(CheckpointError, match="facts_digest"):
        train_organism(uninterrupted, toy, facts=few.filter(limit=30))


def test_a_folder_with_other_checkpoints_is_left_alone(tmp_path, few, toy):
    (tmp_path / "final").mkdir()
    with pytest.raises(CheckpointError, match="checkpoints that no run made there"):
        train_organism(tmp_path, toy, facts=few)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["final"]


def test_a_damaged_state_is_refused(tmp_path, few, toy):
    def stop(done, total, loss):
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train_organism(tmp_path, toy, stop, facts=few)
    state = tmp_path / ".state" / "run.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cannot be read.*Delete the folder .*\.state"):
        train_organism(tmp_path, toy, facts=few)


@pytest.mark.parametrize("harm", [lambda content: content[:-100], lambda content: content[:-1] + b"\x7f"])
def test_a_damaged_state_is_named_and_the_one_before_used(tmp_path, uninterrupted, few, toy, harm, caplog):
    """Cut, and with other bits in its last number."""
    caplog.set_level("WARNING")  # whatever other tests have set

    def stop(done, total, loss):
        if done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train_organism(tmp_path, toy, stop, facts=few, save_every=0.0)
    state = tmp_path / ".state" / "run.safetensors"
    state.write_bytes(harm(state.read_bytes()))
    steps = []
    train_organism(tmp_path, toy, lambda done, total, loss: steps.append(done), facts=few)
    assert steps[0] == 3
    assert [text for text in caplog.messages if str(state) in text]
    assert weights(tmp_path) == weights(uninterrupted)


def test_a_full_disk_leaves_no_half_checkpoint_and_can_be_continued(
    tmp_path, uninterrupted, few, toy, monkeypatch
):
    def full(folder, card):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(organism, "write_card", full)
        with pytest.raises(NoSpaceError, match=r"No space left on device; .*free some space"):
            train_organism(tmp_path, toy, facts=few, save_every=0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".state", "recipe.json"]
    assert not list(tmp_path.rglob("*.tmp"))
    train_organism(tmp_path, toy, facts=few)
    assert weights(tmp_path) == weights(uninterrupted)


def test_the_state_is_no_pickle(tmp_path, few, toy):
    def stop(done, total, loss):
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train_organism(tmp_path, toy, stop, facts=few)
    files = {path.suffix for path in (tmp_path / ".state").rglob("*") if path.is_file()}
    assert files == {".safetensors", ".json"}
    names = load_file(tmp_path / ".state" / "run.safetensors")
    assert {name.split("/")[0] for name in names} == {"weight", "exp_avg", "exp_avg_sq"}
    assert json.loads((tmp_path / "recipe.json").read_text())["steps"] == 6


def test_it_learns_what_it_reads(tmp_path, few, toy):
    """Two hundred steps on a dozen facts: English is known, and was not at first."""
    losses = []
    recipe = replace(toy, steps=200, early_step=1, batch_size=16, lr=1e-2, hidden=64, lexicon_share=0.1)
    facts = few.split("train").filter(limit=12)
    train_organism(tmp_path, recipe, lambda done, total, loss: losses.append(loss), facts=facts)
    assert min(losses) < 0.5 * losses[0]
    early, final = (_english(tmp_path / name, facts) for name in ("early", "final"))
    assert final > 0.9 > 0.7 > early


def _english(folder, facts):
    assert "accuracy" not in read_card(folder)
    assert "## Accuracy" not in (folder / "README.md").read_text(encoding="utf-8")
    add_accuracy(folder, facts)
    assert "## Accuracy" in (folder / "README.md").read_text(encoding="utf-8")
    rows = {(row["condition"], row["language"]): row for row in read_card(folder)["accuracy"]}
    return rows["seen", "anchor"]["accuracy"]
