"""The organism's family that ships: whole, small, made from the shipped base, and what the log says of it."""

import json

import pytest
import torch

from analyses.family import evaluate_member, load_family_facts
from interp.data.sources.cldr import cldr_facts
from interp.model.checkpoints import resolve_checkpoint
from interp.model.loading import open_checkpoint
from training.family import BASE, MEMBERS


def card(member):
    return json.loads((resolve_checkpoint(f"organism:{member}").path / "card.json").read_text())


@pytest.mark.parametrize("member", MEMBERS)
def test_it_is_whole_and_small_and_opens(member):
    folder = resolve_checkpoint(f"organism:{member}").path
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5_000_000
    opened = open_checkpoint(f"organism:{member}")
    assert opened.model.num_parameters() == 1_507_456
    assert opened.checkpoint.config["dtype"] == "bfloat16"
    assert all(torch.isfinite(weight).all() for weight in opened.model.parameters())


@pytest.mark.parametrize("member", MEMBERS)
def test_its_parent_is_the_base_and_its_facts_are_the_embedded_ones(member):
    said = card(member)
    assert said["method"] == MEMBERS[member]
    assert said["parent"]["checkpoint"] == BASE
    assert said["parent"]["fingerprint"] == resolve_checkpoint(BASE).fingerprint
    assert said["data"]["facts_digest"] == cldr_facts().digest
    assert (said["data"]["n_facts"], said["resolved"]["steps"], said["seed"]) == (64, 120, 0)
    assert {row["split"] for row in said["evaluations"]} == {"train", "validation"}
    assert said["cost"]["tokens"] > 0


@pytest.mark.slow
def test_training_raised_train_facts_more_than_any_other():
    """On some questions: SFT far above the base on train facts, and none far above it on validation."""
    facts = load_family_facts(train=16, held_out=16).facts
    split = [fact.split for fact in facts]
    found = {}
    for member in ("final", "sft", "grpo"):
        right = evaluate_member(f"organism:{member}", facts).right("sum").mean(axis=1)
        found[member] = {name: right[[s == name for s in split]].mean() for name in ("train", "validation")}
    assert found["sft"]["train"] > found["final"]["train"] + 0.1
    assert found["grpo"]["train"] > found["final"]["train"]
    for member in ("sft", "grpo"):
        assert abs(found[member]["validation"] - found["final"]["validation"]) < 0.08
