"""Neuron counts: slow oracle, planted neuron, exact null, laws."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from interp.data.sources import open_prompts
from interp.measure.specialization.activations import NeuronCounter
from interp.results.base import Provenance
from interp.results.selection import top_units
from interp.results.specialization import SpecializationResult
from tests.support.architectures import EXPERTS, verified
from tests.support.measuring import measure_specialization
from tests.support.oracles import count_active, count_active_anywhere
from tests.support.planted.language import LANGUAGES, NEURON, PLANTED_LANGUAGE, planted_model, planted_prompts
from tests.support.tiny import FAMILIES, PLANTED_FAMILIES, opened


@pytest.fixture(scope="module")
def facts():
    return open_prompts("cldr", ("en", "sw", "ja"), limit=12)


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_equal_the_slow_oracle(family, facts):
    loaded = opened(family)
    result = measure_specialization(loaded, facts, n_blocks=3, min_tokens=100)
    expected = count_active(loaded, facts, n_blocks=3)
    # one token may fall on either side of zero by rounding of batched products
    assert np.abs(result.counts - expected).sum() <= 2
    assert result.counts.sum() > 1000


@pytest.mark.parametrize("family", ["bloom", "opt", "gpt2", *EXPERTS])
def test_counts_of_other_architectures_equal_the_slow_oracle(family, facts):
    """One prompt at a time without padding, one row per token and expert."""
    loaded = verified(family)
    padding = (
        "right" if family == "qwen3_next" else "left"
    )  # its linear attention is off with padding on the left
    result = measure_specialization(
        loaded, facts, n_blocks=3, min_tokens=100, batch_tokens=512, padding=padding
    )
    counts, routed = count_active_anywhere(loaded, facts, n_blocks=3)
    assert result.counts.shape == counts.shape
    # one token may fall on either side of zero, or of a router's choice, by rounding of batched products
    assert np.abs(result.counts - counts).sum() <= 4e-4 * counts.sum()
    if family in EXPERTS:
        assert np.abs(result.routed - routed).sum() <= 4
        places = result.to_frame()
        assert len(places) == sum(p.count for parts in loaded.architecture.neurons for p in parts)
        layer, expert, neuron = 1, 2, 3
        row = places.query(f"layer == {layer} and expert == {expert} and neuron == {neuron}")
        unit = expert * result.parts[layer][1] + neuron
        rate = result.counts[0, :, layer, unit].sum() / result.routed[0, :, layer, expert].sum()
        assert row["rate_en"].item() == pytest.approx(rate)
    else:
        assert result.routed is None


def test_an_expert_that_a_language_hardly_uses_gives_its_neurons_no_rate():
    counts = np.full((2, 4, 1, 5), 8)
    routed = np.full((2, 4, 1, 2), 16)
    routed[1, :, 0, 1] = 7  # 28 tokens
    tokens = np.full((2, 4), 100)
    result = SpecializationResult(
        ("en", "sw"), tokens, tokens, Provenance(), counts=counts, routed=routed, parts=((2, 2, 1),)
    )
    assert result.rates[:, 0].tolist() == [pytest.approx([0.5, 0.5, np.nan, np.nan, 0.08], nan_ok=True)] * 2
    assert result.rated.tolist() == [[True, True, False, False, True]]
    assert result.overall.value == 0
    assert result.to_frame()[["expert", "neuron"]].to_numpy().tolist() == [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
        [-1, 0],
    ]
    assert any("2 of 5 neurons have no rate: fewer than 32 tokens" in text for text in result.diagnostics())


def test_a_result_of_experts_is_saved_loaded_resumed_and_halved(facts, tmp_path):
    loaded = verified("glm4_moe")
    result = measure_specialization(loaded, facts, n_blocks=4, min_tokens=100)
    again = SpecializationResult.load(result.save(tmp_path / "r.npz"))
    assert again.parts == result.parts == ((0, 0, 48), (4, 24, 24), (4, 24, 24))
    assert np.array_equal(again.routed, result.routed)
    assert again.subset([0, 1]).routed.shape[1] == 2
    assert np.isfinite(result.overall.value)
    assert np.isfinite(result.noise_floor.chance)
    assert result.selected().sum() > 0
    assert top_units(result, 3).max() < 3 * 120
    counter = NeuronCounter(loaded, loaded.encode(facts, 4))
    counter.restore({"counts": result.counts, "routed": result.routed})
    assert np.array_equal(counter.counts(), result.counts)
    assert np.array_equal(counter.routed(), result.routed)


def test_tokens_are_bytes_of_the_prompts(facts):
    loaded = opened(bos=True)
    result = measure_specialization(loaded, facts, n_blocks=3, min_tokens=100)
    expected = [sum(len(p.full_text.encode()) for p in facts.prompts[code]) for code in facts.languages]
    assert result.tokens.sum(axis=1).tolist() == expected  # the BOS in front of each prompt does not count
    assert result.items.sum(axis=1).tolist() == [12, 12, 12]


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_the_planted_neuron_is_found_and_only_it(family):
    result = measure_specialization(planted_model(family), planted_prompts())
    scores = result.scores.value
    assert scores[NEURON] == pytest.approx(
        np.log(3) - 2 / 3 * np.log(2)
    )  # H(1/3): a perfect detector of one of three
    others = np.delete(scores.ravel(), np.ravel_multi_index(NEURON, scores.shape))
    assert np.abs(others).max() < 1e-12
    found = result.specialized()
    assert found.sum() == 1
    assert found[LANGUAGES.index(PLANTED_LANGUAGE)][NEURON]


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_without_a_plant_nothing_is_found(family):
    result = measure_specialization(planted_model(family, neuron=False), planted_prompts())
    assert np.abs(result.scores.value).max() < 1e-12
    assert not result.specialized().any()


def test_the_same_text_under_two_names_tells_nothing():
    prompts = planted_prompts()
    same = {
        code: tuple(dataclasses.replace(p, language=code) for p in prompts.prompts["en"])
        for code in LANGUAGES
    }
    loaded = opened()
    result = measure_specialization(loaded, dataclasses.replace(prompts, prompts=same))
    assert np.abs(result.scores.value).max() < 1e-12


def test_batch_size_padding_side_and_language_order_change_no_count(facts):
    loaded = opened("qwen2")
    reference = measure_specialization(loaded, facts, n_blocks=3, min_tokens=100)
    for options in ({"batch_tokens": 1}, {"padding": "left"}, {"batch_tokens": 100_000}):
        result = measure_specialization(loaded, facts, n_blocks=3, min_tokens=100, **options)
        assert np.abs(result.counts - reference.counts).sum() <= 2
    turned = measure_specialization(loaded, facts.restrict(("ja", "en", "sw")), n_blocks=3, min_tokens=100)
    assert np.abs(turned.counts - reference.counts[[2, 0, 1]]).sum() <= 2


def test_blocks_partition_the_counts(facts):
    loaded = opened()
    few = measure_specialization(loaded, facts, n_blocks=2, min_tokens=100)
    many = measure_specialization(loaded, facts, n_blocks=6, min_tokens=100)
    assert np.abs(few.counts.sum(axis=1) - many.counts.sum(axis=1)).sum() <= 2
    assert (few.tokens.sum(axis=1) == many.tokens.sum(axis=1)).all()


def test_silencing_the_planted_neuron_silences_its_score():
    """Causal check: the score follows the weights."""
    loaded = planted_model("llama")
    with torch.no_grad():
        loaded.architecture.layers[NEURON[0]].mlp.gate_proj.weight[NEURON[1]] = 0
    result = measure_specialization(loaded, planted_prompts())
    assert result.scores.value[NEURON] == 0
    assert result.rates[:, NEURON[0], NEURON[1]].tolist() == [0, 0, 0]
