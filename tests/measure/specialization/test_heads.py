"""Head importance: finite differences, one item per backward, planted head, causality of the mask."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from interp.data.sources import open_prompts
from interp.measure.specialization.heads import scaled_heads
from interp.model.tokens import encode, pad
from interp.results.heads import importance_information
from tests.support.measuring import measure_heads
from tests.support.oracles import head_gradient
from tests.support.planted.language import (
    HEAD,
    LANGUAGES,
    PLANTED_LANGUAGE,
    SIBLING,
    planted_model,
    planted_prompts,
)
from tests.support.tiny import FAMILIES, PLANTED_FAMILIES, opened


@pytest.fixture(scope="module")
def facts():
    return open_prompts("cldr", ("en", "sw", "ja"), limit=6)


def batch_of(loaded, prompts, side="right"):
    items = encode(prompts, loaded.tokenizer, n_blocks=2, context=10_000).items
    return pad(items, pad_id=256, side=side, device=loaded.device)


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_gradients_equal_finite_differences(family, facts):
    loaded = opened(family, dtype=torch.float64)
    few = facts.restrict(("en", "ja")).sample(2)
    result = measure_heads(loaded, few, n_blocks=2, min_items=1)
    for layer, head in ((0, 0), (1, 3), (2, 2)):
        for i, code in enumerate(few.languages):
            slow = [abs(head_gradient(loaded, p.full_text, layer, head)) for p in few.prompts[code]]
            assert result.magnitude[i, :, layer, head].sum() == pytest.approx(sum(slow), rel=2e-3, abs=2e-5)


def test_helpful_counts_items_whose_loss_falls_when_the_head_grows(facts):
    loaded = opened("qwen2", dtype=torch.float64)
    few = facts.restrict(("en",)).sample(4)
    result = measure_heads(loaded, few, n_blocks=2, min_items=1)
    slow = [head_gradient(loaded, p.full_text, 1, 2) < 0 for p in few.prompts["en"]]
    assert result.helpful[0, :, 1, 2].sum() == sum(slow)


def test_importance_is_mean_size_times_share_helpful(facts):
    loaded = opened()
    result = measure_heads(loaded, facts, n_blocks=2, min_items=1)
    n = result.items.sum(axis=1)
    expected = (
        1000 * result.magnitude.sum(axis=1) / n[:, None, None] * result.helpful.sum(axis=1) / n[:, None, None]
    )
    assert result.importance == pytest.approx(expected)


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_the_planted_head_is_found_and_only_it(family):
    result = measure_heads(planted_model(family), planted_prompts())
    scores, every = result.scores.value, np.ones(result.n_blocks, dtype=bool)
    information = importance_information(result.activity(every))
    assert information[HEAD] == pytest.approx(np.log(3))  # it matters in one of three languages
    assert np.unravel_index(scores.argmax(), scores.shape) == HEAD
    assert (
        result.importance[
            [i for i, c in enumerate(LANGUAGES) if c != PLANTED_LANGUAGE], HEAD[0], HEAD[1]
        ].max()
        == 0
    )
    assert scores[SIBLING] == 0  # a head that does nothing is not specialized
    others = np.delete(scores.ravel(), np.ravel_multi_index(HEAD, scores.shape))
    assert np.abs(others).max() < 0.01 * scores[HEAD] + 1e-4


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_without_a_plant_no_head_is_found(family):
    result = measure_heads(planted_model(family, head=False), planted_prompts())
    assert np.abs(result.scores.value).max() < 1e-6


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_mask_of_ones_reproduces_the_logits_and_nothing_leaks_backwards(family, attention, facts):
    loaded = opened(family)
    loaded.model.set_attn_implementation(attention)
    batch = batch_of(loaded, facts)
    ones = torch.ones(len(batch.items), 3, 4)
    with torch.no_grad():
        bare = loaded.model(**batch.inputs()).logits
        with scaled_heads(loaded, ones):
            assert torch.equal(loaded.model(**batch.inputs()).logits, bare)
        half = ones * 0.5
        last = dataclasses.replace(batch, ids=batch.ids.clone())
        last.ids[:, 40] = (last.ids[:, 40] + 1) % 256
        with scaled_heads(loaded, half):
            before, after = (loaded.model(**b.inputs()).logits for b in (batch, last))
    assert torch.equal(before[:, :40], after[:, :40])  # a later token changes nothing before it
    assert not torch.equal(before[:, 40:], after[:, 40:])
    assert not torch.equal(before, bare)


def test_batching_and_padding_change_no_importance(facts):
    loaded = opened("olmo2")
    reference = measure_heads(loaded, facts, n_blocks=2, min_items=1)
    for options in ({"batch_tokens": 1}, {"padding": "left"}):
        result = measure_heads(loaded, facts, n_blocks=2, min_items=1, **options)
        assert result.magnitude == pytest.approx(reference.magnitude, rel=1e-4, abs=1e-7)


def test_a_trained_mask_follows_upstreams_recipe(facts):
    """Slow oracle: one item at a time through torch's own AdamW, on a single language."""
    loaded = opened()
    few = facts.restrict(("en",))
    result = measure_heads(loaded, few, mask="trained", n_blocks=2, min_items=1)
    mask = torch.nn.Parameter(torch.ones(3, 4))
    optimizer = torch.optim.AdamW([mask], lr=1e-2, weight_decay=1e-2)
    size, helpful = torch.zeros(3, 4), torch.zeros(3, 4)
    for item in encode(few, loaded.tokenizer, n_blocks=2, context=10_000).items:
        ids = torch.tensor([item.ids])
        with torch.enable_grad(), scaled_heads(loaded, mask[None]):
            loss = loaded.model(input_ids=ids, labels=ids).loss
        (gradient,) = torch.autograd.grad(loss, mask)
        size += gradient.abs() * mask.detach()
        helpful += gradient * mask.detach() < 0
        mask.grad = gradient
        optimizer.step()
    assert result.magnitude.sum(axis=1)[0] == pytest.approx(size.numpy(), rel=1e-3)
    assert (result.helpful.sum(axis=1)[0] == helpful.numpy()).all()


def test_a_trained_mask_depends_on_the_order_of_items_and_a_frozen_one_does_not(facts):
    loaded = opened()
    few = facts.restrict(("en",))
    turned = dataclasses.replace(few, prompts={"en": few.prompts["en"][::-1]})
    for mask, moves in (("frozen", False), ("trained", True)):
        a, b = (measure_heads(loaded, p, mask=mask, n_blocks=2, min_items=1) for p in (few, turned))
        same = np.allclose(a.importance, b.importance, rtol=1e-5)
        assert same is not moves
