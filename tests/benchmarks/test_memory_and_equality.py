"""What the benchmarks rest on, untimed: equal values, and memory that does not grow with the number of
batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.measure.specialization.activations import NeuronCounter
from interp.measure.specialization.heads import FrozenHeads
from interp.model.tokens import EncodedItem, EncodedPrompts, pad
from tests.benchmarks.live import LiveBytes
from tests.benchmarks.memory import measure_memory
from tests.benchmarks.peers import OneByOne
from tests.support.tiny import FAMILIES, PLANTED_FAMILIES, opened

N_BLOCKS = 2


@pytest.fixture(params=PLANTED_FAMILIES)
def loaded(request):
    return opened(request.param)


def _encoded(n_items, length, seed=0, ragged=False):
    """Random bytes in three languages; ragged: every item has a length of its own."""
    rng = np.random.default_rng(seed)
    lengths = [length - i if ragged else length for i in range(n_items)]
    items = tuple(
        EncodedItem(f"item-{i}", i % 3, i % N_BLOCKS, tuple(rng.integers(0, 256, n).tolist()), (True,) * n)
        for i, n in enumerate(lengths)
    )
    return EncodedPrompts(("en", "sw", "ja"), N_BLOCKS, items)


def _batch(encoded, side="right"):
    return pad(encoded.items, pad_id=256, side=side, device=torch.device("cpu"))


@pytest.mark.parametrize("parameter_gradients", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_backward_for_a_batch_gives_the_gradients_of_one_per_item(family, side, parameter_gradients):
    loaded = opened(family)
    encoded = _encoded(6, 24, ragged=True)
    peer = OneByOne(loaded, _batch(encoded), parameter_gradients=parameter_gradients)
    peer.run()
    ours = FrozenHeads(loaded, encoded)
    ones = torch.ones(6, loaded.architecture.n_layers, loaded.architecture.n_heads)
    gradients = ours._gradients(_batch(encoded, side), ones)
    assert np.abs(gradients - peer.gradients).max() <= 1e-5 * np.abs(peer.gradients).max()
    ours.add(_batch(encoded, side))
    expected = np.zeros_like(ours.magnitude)
    for item, gradient in zip(encoded.items, peer.gradients, strict=True):
        expected[item.language, item.block] += np.abs(gradient)
    np.testing.assert_allclose(ours.magnitude, expected, rtol=0, atol=1e-5 * expected.max())


@torch.no_grad()
def _bare(loaded, batch):
    loaded.architecture.body(**batch.inputs())


def _alive(run, batches):
    """Peak bytes of tensors alive while running, and bytes still alive afterwards."""
    with LiveBytes() as live:
        for batch in batches:
            run(batch)
        del batch
        return live.peak, live.now


def test_the_count_holds_at_most_one_layers_gates_beside_the_counts(loaded):
    encoded = _encoded(6, 200)
    batch = _batch(encoded)
    counter = NeuronCounter(loaded, encoded)
    counter.add(batch)
    (bare, _), (counting, left) = _alive(lambda b: _bare(loaded, b), [batch]), _alive(counter.add, [batch])
    n_layers, n_neurons = loaded.architecture.n_layers, loaded.architecture.n_neurons
    gates = batch.ids.numel() * n_neurons * (1 + 4)  # as bool and as float32
    counts = len(encoded.languages) * N_BLOCKS * n_layers * n_neurons * 4
    small = (
        2 * len(encoded.items) * batch.ids.numel() * 4 + 4 * batch.ids.numel() * 8
    )  # cell weights, mask, positions
    assert counting - bare <= gates + counts + small
    assert left == 0


def test_the_count_needs_no_more_memory_for_more_batches(loaded):
    encoded = _encoded(6, 40)
    counter = NeuronCounter(loaded, encoded)
    size = counter.counts().nbytes
    few = _alive(counter.add, [_batch(encoded)] * 2)
    many = _alive(counter.add, [_batch(encoded)] * 20)
    assert few == many
    assert many[1] == 0
    assert counter.counts().nbytes == size
    assert sum(value.nbytes for value in counter.state().values()) == size


def test_head_importance_needs_no_more_memory_for_more_batches(loaded):
    encoded = _encoded(6, 40)
    heads = FrozenHeads(loaded, encoded)
    size = sum(value.nbytes for value in heads.state().values())
    few = _alive(heads.add, [_batch(encoded)] * 2)
    many = _alive(heads.add, [_batch(encoded)] * 20)
    assert few == many
    assert many[1] == 0
    assert sum(value.nbytes for value in heads.state().values()) == size


def test_a_tensor_that_is_kept_is_noticed():
    """The instrument itself: one kept view of one kept tensor is its whole storage."""
    kept = []
    with LiveBytes() as live:
        for _ in range(3):
            kept.append(torch.ones(100, 10)[:, 0])
            torch.ones(50, 10)
        assert live.now == 3 * 4000
        assert live.peak == 3 * 4000 + 2000
        kept.clear()
        assert live.now == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_the_peak_of_a_process_does_not_depend_on_the_number_of_batches():
    """Resident size; 3 MB are allowed to the allocator, 4 MB with the code that only the count loads."""
    memory = measure_memory(few=2, many=12)
    assert (
        memory["count_few"] > memory["bare"] + memory["totals"] / 2
    )  # the instrument sees what is surely there
    assert memory["count_many"] - memory["count_few"] < 3e6
    assert memory["count_many"] - memory["bare"] < memory["totals"] + memory["one_layer"] + 4e6
