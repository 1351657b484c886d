"""Routers: the slow definition on every family, a planted router, padding, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from interp.data.sources import open_prompts
from interp.errors import CapabilityError, MeasurementError
from interp.measure.experts.experts import RouteCounter, measure_experts
from interp.model.loading import adopt_model
from interp.model.routers import Routers
from interp.results.base import Note
from interp.results.settings.experts import ExpertsSettings
from tests.support.architectures import EXPERTS, verified
from tests.support.planted.experts import EXPERT, LAYER, planted_routers
from tests.support.planted.language import LANGUAGES, PLANTED_LANGUAGE, planted_prompts
from tests.support.tiny import byte_tokenizer, opened, tiny_model

SIGMOID = {"glm4_moe", "deepseek_v3", "llama4_text"}
SETTINGS = ExpertsSettings(blocks=3, min_tokens=100)


@pytest.fixture(scope="module")
def facts():
    return open_prompts("cldr", ("en", "sw", "ja"), limit=6)


def keeping(module, into, key):
    """Keep what enters a module, by a hook."""
    return module.register_forward_pre_hook(lambda m, args: into.update({key: args}))


def slow_routes(loaded, prompts, n_blocks):
    """Sums and counts, one prompt at a time without padding, one token at a time.

    Logits from the router's own weights and what enters it; choices from what enters the experts.
    """
    layers = [n for n in range(loaded.architecture.n_layers) if loaded.architecture.router(n) is not None]
    n_experts = loaded.architecture.experts(layers[0]).n_experts
    blocks = prompts.group_blocks(n_blocks)
    shape = (len(prompts.languages), n_blocks, len(layers), n_experts)
    probability, chosen = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    family = loaded.architecture.family
    for i, code in enumerate(prompts.languages):
        for prompt in prompts.prompts[code]:
            entered, given = {}, {}
            handles = [keeping(loaded.architecture.router(n), entered, n) for n in layers]
            handles += [keeping(loaded.architecture.experts(n).module, given, n) for n in layers]
            with torch.no_grad():
                loaded.model(input_ids=torch.tensor([loaded.tokenizer(prompt.full_text)["input_ids"]]))
            for handle in handles:
                handle.remove()
            for place, n in enumerate(layers):
                router = loaded.architecture.router(n)
                hidden = entered[n][0].flatten(0, -2).float()
                logits = functional.linear(hidden, router.weight.float(), getattr(router, "bias", None))
                for token, row in enumerate(logits):
                    q = torch.sigmoid(row) if family in SIGMOID else torch.softmax(row, dim=-1)
                    probability[i, blocks[prompt.group], place] += (q / q.sum()).double().numpy()
                    if len(given[n]) > 1:
                        own = given[n][1][token].tolist()
                    else:  # Llama 4: a row for every expert and token, zero of those not chosen
                        rows = given[n][0].view(n_experts, -1, hidden.shape[-1])
                        own = rows[:, token].any(dim=-1).nonzero().flatten().tolist()
                    for expert in own:
                        chosen[i, blocks[prompt.group], place, expert] += 1
    return layers, probability, chosen


@pytest.mark.parametrize("family", EXPERTS)
def test_sums_equal_the_slow_definition(family, facts):
    loaded = verified(family)
    padding = "right" if family == "qwen3_next" else "left"  # its linear attention is off with it on the left
    result = measure_experts(loaded, facts, SETTINGS, batch_tokens=512, padding=padding)
    layers, probability, chosen = slow_routes(loaded, facts, 3)
    assert list(result.layers) == layers
    assert result.probability == pytest.approx(probability, rel=1e-4, abs=1e-3)
    assert np.abs(result.chosen - chosen).sum() <= 4  # a tie by rounding of batched products
    assert result.top_k == 2
    assert np.ptp(result.distribution) > 0.01


@pytest.mark.parametrize("family", [family for family in EXPERTS if family != "llama4_text"])
def test_the_weights_that_the_model_gave_its_experts_are_those_of_the_distribution(family):
    """What weighs an expert is its probability among those chosen: scores are read as they are used."""
    loaded, seen, given = verified(family), {}, {}
    routers = Routers(loaded.architecture)
    handles = [keeping(loaded.architecture.experts(n).module, given, n) for n in routers.layers]
    with torch.no_grad(), routers.reading(lambda routes, layer: seen.update({layer: routes})):
        loaded.model(input_ids=torch.arange(60, 84).reshape(2, 12))
    for handle in handles:
        handle.remove()
    for layer, routes in seen.items():
        _, chosen, weights = given[layer]
        assert torch.equal(routes.chosen, chosen)
        own = routes.probability.gather(1, chosen)
        shares = (each / each.sum(dim=1, keepdim=True) for each in (own, weights))
        assert torch.allclose(*shares, atol=1e-5)


def test_the_planted_router_is_found_and_only_it():
    result = measure_experts(planted_routers(), planted_prompts(), ExpertsSettings(min_tokens=100))
    planted, other = LANGUAGES.index(PLANTED_LANGUAGE), LANGUAGES.index("ja")
    divergence = result.divergence.value
    expected = math.log(2) / (math.log(4) - math.log(3) / 2)  # one of 4 experts against the other three
    assert divergence[LAYER, 0, planted] == pytest.approx(expected, abs=1e-6)
    assert divergence[LAYER, other, planted] == pytest.approx(expected, abs=1e-6)
    assert divergence[LAYER, 0, other] == pytest.approx(0, abs=1e-9)
    assert np.abs(np.delete(divergence, LAYER, axis=0)).max() < 1e-9
    # of top-1 choices: a third of all goes to one expert, which tells the language, two thirds elsewhere
    assert result.per_layer.value[LAYER] == pytest.approx(math.log(3) - 2 / 3 * math.log(2))
    assert np.abs(np.delete(result.per_layer.value, LAYER)).max() < 1e-9
    own = np.argwhere(result.selected()[planted])
    assert own.tolist() == [[LAYER, EXPERT]]
    assert all(isinstance(text, Note) for text in result.diagnostics())


def test_routers_that_see_no_language_are_not_told_apart():
    blind = planted_routers(planted=False)
    result = measure_experts(blind, planted_prompts(), ExpertsSettings(min_tokens=100))
    assert np.abs(result.divergence.value).max() < 1e-9
    assert np.abs(result.scores.value).max() < 1e-9
    assert not result.selected().any()
    assert any("not above that with shuffled" in text for text in result.diagnostics())


@pytest.mark.parametrize("family", ["mixtral", "glm4_moe"])
def test_padding_and_batches_never_count(family, facts):
    loaded = verified(family)
    alone = measure_experts(loaded, facts, SETTINGS, batch_tokens=1)
    for options in ({"padding": "left"}, {"padding": "right"}, {"batch_tokens": 700, "padding": "left"}):
        found = measure_experts(loaded, facts, SETTINGS, **options)
        assert found.probability == pytest.approx(alone.probability, abs=1e-3)
        assert np.abs(found.chosen - alone.chosen).sum() <= 4
        sums = found.probability.sum(axis=-1)
        assert sums == pytest.approx(np.broadcast_to(found.tokens[:, :, None], sums.shape), rel=1e-5)


def test_a_start_of_text_does_not_count(facts):
    result = measure_experts(opened("olmoe", bos=True), facts, SETTINGS)
    expected = [sum(len(p.full_text.encode()) for p in facts.prompts[code]) for code in facts.languages]
    assert (result.chosen.sum(axis=(1, 3)) / result.top_k).T.tolist() == [expected] * 3


def test_top_1_and_zero_routers(facts):
    for family in ("mixtral", "qwen3_moe", "deepseek_v3"):
        loaded = opened(family, num_experts_per_tok=1)
        result = measure_experts(loaded, facts, SETTINGS)
        assert result.top_k == 1
    model = tiny_model("olmoe")
    for layer in model.model.layers:
        layer.mlp.gate.weight.zero_()
    result = measure_experts(adopt_model(model, byte_tokenizer()), facts, SETTINGS)
    assert result.distribution == pytest.approx(np.full((3, 3, 4), 0.25))
    assert np.abs(result.divergence.value).max() == 0


def test_sums_are_restored(facts):
    loaded = verified("olmoe")
    result = measure_experts(loaded, facts, SETTINGS)
    encoded, routers = loaded.encode(facts, 3), Routers(loaded.architecture)
    one, other = (RouteCounter(loaded, encoded, routers) for _ in range(2))
    one.add(loaded.pad(encoded.items, "right"))
    other.restore(one.state())
    assert np.array_equal(other.chosen.reshape(result.chosen.shape), one.chosen.reshape(result.chosen.shape))
    assert other.probability.sum() == pytest.approx(result.probability.sum())


def test_what_cannot_be_measured_is_refused_in_one_line(facts, monkeypatch):
    with pytest.raises(CapabilityError, match="'llama' has no router: none of its 3 layers") as found:
        measure_experts(opened(), facts, SETTINGS)
    assert "\n" not in str(found.value)
    loaded = opened("mixtral")
    with pytest.raises(MeasurementError, match="tokens in 6 prompts"):
        measure_experts(loaded, facts, ExpertsSettings(blocks=3, min_tokens=10**6))
    routers = Routers(loaded.architecture)
    silent = pytest.raises(CapabilityError, match="router of layer 0 of 'mixtral' was never called")
    with silent, routers.reading(lambda routes, layer: None):
        pass
    router = loaded.architecture.router(1)
    plain = router.forward
    monkeypatch.setattr(router, "forward", lambda h: (plain(h)[0], plain(h)[1] ** 3, plain(h)[2]))
    with pytest.raises(CapabilityError, match="weighs experts neither by softmax nor by sigmoid"):
        measure_experts(loaded, facts, SETTINGS)
