"""Batches: refusals name settings that work, rows are divided evenly, memory grows with its parts."""

from __future__ import annotations

import re

import pytest
import torch

from interp.errors import ConfigError
from tests.support.extras import needed

needed("trl")

from interp.model.widths import model_widths  # noqa: E402
from tests.support.tiny import tiny_model  # noqa: E402
from training.plan.batches import plan_batches, require_whole_facts  # noqa: E402
from training.plan.memory import expected_memory  # noqa: E402


def test_the_message_of_a_batch_of_parts_of_facts():
    with pytest.raises(ConfigError) as caught:
        require_whole_facts(12, 2, 1, 4, 4)
    assert str(caught.value) == (
        "The global generation batch (24 = per_device 12 x processes 2 x steps_per_generation 1) must be a "
        "multiple of n_languages x num_generations = 4 x 4 = 16. Nearest: steps_per_generation 2, or "
        "per_device 8 or 16."
    )
    require_whole_facts(12, 2, 2, 4, 4)


def named(text: str, setting: str) -> list[int]:
    """The numbers that a message names for a setting."""
    return [int(n) for n in re.search(rf"{setting} ((?:\d+)(?: or \d+)*)", text)[1].split(" or ")]


@pytest.mark.parametrize("languages", [1, 3, 4, 12])
@pytest.mark.parametrize("generations", [2, 8])
def test_the_neighbors_of_a_generation_batch_work(languages, generations):
    refused = 0
    for per_device in (1, 2, 5, 12, 24):
        for processes in (1, 2, 3, 8):
            for steps in (1, 2, 4):
                try:
                    require_whole_facts(per_device, processes, steps, languages, generations)
                except ConfigError as error:
                    refused += 1
                    near = str(error).partition("Nearest:")[2]
                    for n in named(near, "steps_per_generation"):
                        require_whole_facts(per_device, processes, n, languages, generations)
                    for n in named(near, "per_device"):
                        require_whole_facts(n, processes, steps, languages, generations)
    assert refused


@pytest.mark.parametrize("rows", [1, 6, 9, 96])
@pytest.mark.parametrize("processes", [1, 2, 3, 8, 7])
@pytest.mark.parametrize("per_step", [1, 2, 5])
@pytest.mark.parametrize("micro", [0, 1, 4, 7, 1000])
def test_a_plan_deals_all_rows_or_names_what_would(rows, processes, per_step, micro):
    try:
        plan = plan_batches(100, per_step, rows, processes, micro)
    except ConfigError as error:
        text = str(error)
        if "micro_batch is" in text:
            for n in named(text, "Set it to"):
                assert plan_batches(100, per_step, rows, processes, n).micro_batch == n
        else:
            assert f"cannot be divided among {processes} processes" in text
            for n in named(text, "Set facts_per_step to"):
                assert plan_batches(100, n, rows, processes).units_per_step == n
    else:
        assert plan.micro_batch * plan.accumulation * processes == plan.rows_per_step == per_step * rows
        assert plan.micro_batch == micro or (not micro and plan.micro_batch <= 96)


def test_what_an_epoch_drops():
    plan = plan_batches(10, 4, 6)
    assert (plan.steps_per_epoch, plan.dropped, plan.rows_per_step) == (2, 2, 24)
    assert plan_batches(12, 4, 6).dropped == 0


def test_a_smaller_last_step_drops_nothing():
    plan = plan_batches(10, 4, unit="rows", last_step_smaller=True)
    assert (plan.steps_per_epoch, plan.dropped) == (3, 0)
    assert plan_batches(12, 4, last_step_smaller=True).steps_per_epoch == 3
    assert plan_batches(3, 4, last_step_smaller=True).steps_per_epoch == 1


def test_the_largest_even_share_is_chosen():
    assert plan_batches(9, 1, 96).micro_batch == 96
    assert plan_batches(9, 2, 96).micro_batch == 96
    assert plan_batches(9, 1, 101).micro_batch == 1  # a prime above the limit
    assert plan_batches(9, 4, 1, largest=3).micro_batch == 2
    one, four = plan_batches(9, 4, 96), plan_batches(9, 4, 96, 4)
    assert (one.micro_batch, one.accumulation, four.micro_batch, four.accumulation) == (96, 4, 96, 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((3, 4, 6), "There are 3 facts, fewer than the 4 of one step; an epoch would have no step. Set"),
        ((3, 0, 6), "facts_per_step is 0; 1 or more is expected."),
        ((9, 1, 9, 2), "A step of 1 facts x 9 rows cannot be divided among 2 processes. Set facts_per"),
        ((9, 2, 9, 1, 4), "micro_batch is 4, which does not divide the 18 rows of a process (2 facts x 9 "
         "rows / 1 processes). Set it to 2 or 3."),
    ],
)  # fmt: skip
def test_refusals(arguments, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        plan_batches(*arguments)


def memory(**changes):
    widths = model_widths(tiny_model(num_hidden_layers=changes.pop("layers", 3)).config)
    given = {
        "parameters": 1000, "trained": 1000, "weight_bytes": 4, "rows": 96, "micro_batch": 24,
        "prompt_tokens": 190, "new_tokens": 10, "generations": 8, "checkpointing": False,
    } | changes  # fmt: skip
    return expected_memory(widths, given.pop("parameters"), given.pop("trained"), **given)


@pytest.mark.parametrize("family", ["llama", "qwen2", "olmo2", "gemma2", "gemma3_text"])
@pytest.mark.parametrize("generations", [2, 8])
def test_activations_are_those_of_a_measured_micro_batch(family, generations):
    """What autograd keeps of four prompts of 64 tokens with answers of 9, within 35 %."""
    from tests.training.test_shared_prompts import batch
    from training.shared_prompts import share_prompts

    shape = {"hidden_size": 64, "intermediate_size": 160, "head_dim": 16, "num_hidden_layers": 4}
    model = tiny_model(family, **shape).requires_grad_(True)
    share_prompts(model)
    rows = batch(
        [((*range(n, n + 63), 5), (n, row, *range(7))) for n in range(10, 14) for row in range(generations)]
    )
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept, alive = {}, []

    def pack(tensor):
        alive.append(tensor)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(**rows, fused_lm_head=True)
    expected = expected_memory(
        model_widths(model.config), 1, 1, weight_bytes=4, rows=4 * generations,
        micro_batch=4 * generations, prompt_tokens=64, new_tokens=9, generations=generations,
        checkpointing=False,
    ).activations  # fmt: skip
    assert expected == pytest.approx(sum(kept.values()), rel=0.35)


def test_memory_of_a_tiny_model_by_hand():
    """3 layers of width 32, keys and values of 2 heads of 8: 2 * 4 bytes * 3 * 16 per token in the cache."""
    found = memory()
    assert (found.weights, found.optimizer) == (4000, 12000)
    assert found.cache == 2 * 4 * 3 * 16 * 200 * 96
    block = 4 * 48 + 10 * 32 + 2 * 32 + 4 * 16
    computed, repeated = 3 * 190 + 24 * 10, 2 * 32 * 200 * 24
    assert found.activations == 4 * 3 * (block * computed + repeated) + 3 * 4 * 24 * 10 * 259
    assert found.total == 16000 + max(found.cache, found.activations)
    assert memory(checkpointing=True).activations == (4 * (3 * 32 + block) * 200 * 24 + 3 * 4 * 24 * 10 * 259)
    adapter = memory(trained=100, weight_bytes=2)
    assert (adapter.weights, adapter.optimizer) == (2000 + 400, 1200)


@pytest.mark.parametrize(
    ("name", "values", "part"),
    [
        ("layers", (2, 3, 5), "activations"),
        ("rows", (8, 96, 400), "cache"),
        ("micro_batch", (1, 24, 96), "activations"),
        ("prompt_tokens", (10, 200, 2000), "activations"),
        ("new_tokens", (1, 10, 100), "activations"),
        ("generations", (24, 8, 1), "activations"),
        ("weight_bytes", (2, 4), "cache"),
        ("trained", (100, 500, 999), "optimizer"),
    ],
)
def test_memory_grows_with_each_input(name, values, part):
    found = [memory(**{name: value}) for value in values]
    sizes = [getattr(one, part) for one in found]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)
    totals = [one.total for one in found]
    assert totals == sorted(totals)
