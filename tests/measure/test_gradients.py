"""Gradients at sites: equal to finite differences at every site, row by row, and nothing of the model is left
changed."""

from __future__ import annotations

import pytest
import torch

from interp.errors import CapabilityError
from interp.measure.gradients import reduced_gradients, values_and_gradients
from interp.model.hooks import editing
from interp.model.sites import SITES, Site
from interp.model.tokens import EncodedItem, pad
from tests.support.tiny import FAMILIES, opened

IDS = ((5, 80, 33, 7, 120), (9, 61, 4), (77, 30, 2, 99))
TARGETS = torch.tensor([11, 200, 45])


def batch_of(rows=IDS, side: str = "right"):
    items = [EncodedItem(str(i), 0, 0, ids, (True,) * len(ids)) for i, ids in enumerate(rows)]
    return pad(items, pad_id=256, side=side, device=torch.device("cpu"))


def last_log_probability(loaded, batch, targets=TARGETS):
    """The log-probability of a token after each row's last."""
    at = batch.attention.cumsum(dim=1).argmax(dim=1)

    def metric(hidden: torch.Tensor) -> torch.Tensor:
        logits = loaded.architecture.unembed(hidden[torch.arange(len(at)), at])
        return logits.log_softmax(dim=-1).gather(1, targets[:, None]).squeeze(1)

    return metric


def every_site(loaded, names=SITES):
    return [Site(n, layer) for n in names if n not in loaded.architecture.missing for layer in range(3)]


def finite_difference(loaded, batch, metric, site, direction):
    """How each row's metric changes when the site moves along a direction, by central differences."""

    def moved(sign: int) -> torch.Tensor:
        with torch.no_grad(), editing(loaded.architecture, {site: lambda value, _: value + sign * direction}):
            return metric(loaded.architecture.body(**batch.inputs()).last_hidden_state)

    return (moved(1) - moved(-1)) / 2


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_equal_finite_differences_at_every_site(family):
    """Along the gradient itself, where a part too many or too few shows; the norms of the models are in
    float32."""
    loaded, batch = opened(family, dtype=torch.float64), batch_of()
    metric = last_log_probability(loaded, batch)
    found = values_and_gradients(loaded, batch.inputs(), every_site(loaded), metric)
    assert len(found) == 3 * len(SITES)
    for site, (value, gradient) in found.items():
        assert gradient.shape == value.shape
        norm = gradient.flatten(1).norm(dim=1)
        assert norm.min() > 1e-8, site  # else there is no direction to try
        step = 3e-4 * value.flatten(1).norm(dim=1) / norm.clamp(min=1e-30)
        direction = gradient * step.view(-1, *[1] * (value.ndim - 1))
        slow = finite_difference(loaded, batch, metric, site, direction)
        torch.testing.assert_close(step * norm**2, slow, rtol=2e-3, atol=1e-6, msg=str(site))


def test_a_site_has_the_value_and_gradient_that_it_has_alone():
    """The end of a layer is the beginning of the next, one tensor under two names."""
    loaded, batch = opened("qwen2", dtype=torch.float64), batch_of()
    metric = last_log_probability(loaded, batch)
    sites = [Site("resid_pre", 1), Site("resid_post", 0), Site("head", 0), Site("mlp_neuron", 2)]
    together = values_and_gradients(loaded, batch.inputs(), sites, metric)
    assert list(together) == sites
    for a, b in zip(together[sites[0]], together[sites[1]], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    for site in sites:
        alone = values_and_gradients(loaded, batch.inputs(), [site], metric)[site]
        for a, b in zip(alone, together[site], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", ["qwen2", "olmo2"])
def test_a_row_has_its_own_gradient_whoever_stands_beside_it(family, side):
    loaded, batch = opened(family, dtype=torch.float64), batch_of(side=side)
    sites = every_site(loaded, ("head", "mlp_neuron"))
    found = values_and_gradients(loaded, batch.inputs(), sites, last_log_probability(loaded, batch))
    for row, ids in enumerate(IDS):
        one = batch_of([ids])
        metric = last_log_probability(loaded, one, TARGETS[row : row + 1])
        for site, (value, gradient) in values_and_gradients(loaded, one.inputs(), sites, metric).items():
            real = batch.attention[row].bool()
            torch.testing.assert_close(found[site][0][row, real], value[0], rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(found[site][1][row, real], gradient[0], rtol=1e-9, atol=1e-9)
            assert not found[site][1][row, ~real].any()  # padding has no part in it


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_bfloat16_agrees_with_float64(attention):
    batch, found = batch_of(), {}
    for dtype in (torch.float64, torch.bfloat16):
        loaded = opened("llama", dtype=dtype)
        loaded.model.set_attn_implementation(attention)
        metric = last_log_probability(loaded, batch)
        sites = every_site(loaded, ("head", "mlp_neuron"))
        found[dtype] = values_and_gradients(loaded, batch.inputs(), sites, metric)
    for site, (_, exact) in found[torch.float64].items():
        rough = found[torch.bfloat16][site][1]
        assert rough.dtype == torch.bfloat16
        assert torch.nn.functional.cosine_similarity(exact.flatten(), rough.double().flatten(), dim=0) > 0.99


def test_nothing_of_the_model_changes_and_no_parameter_gets_a_gradient():
    loaded, batch = opened("gemma", dtype=torch.float64), batch_of()
    with torch.no_grad():  # as a caller may stand in
        before = loaded.model(**batch.inputs()).logits
        values_and_gradients(loaded, batch.inputs(), every_site(loaded), last_log_probability(loaded, batch))
        after = loaded.model(**batch.inputs()).logits
    assert torch.equal(before, after)
    assert all(p.grad is None and not p.requires_grad for p in loaded.model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in loaded.model.modules())


def test_a_reduction_sees_each_site_once_and_only_it_is_kept():
    loaded, batch = opened(dtype=torch.float64), batch_of()
    metric, sites = last_log_probability(loaded, batch), every_site(loaded, ("head", "mlp_neuron"))
    whole = values_and_gradients(loaded, batch.inputs(), sites, metric)
    seen = []

    def take(value: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(value.shape))
        return (value * gradient).sum()

    reduced = reduced_gradients(loaded, batch.inputs(), sites, metric, take)
    assert len(seen) == len(sites)
    for site, (value, gradient) in whole.items():
        torch.testing.assert_close(reduced[site], (value * gradient).sum())


def test_a_metric_over_all_rows_and_a_site_that_is_missing_are_refused():
    loaded, batch = opened(dtype=torch.float64), batch_of()
    with pytest.raises(ValueError, match=r"the metric has shape \(\); \(3,\) is expected"):
        values_and_gradients(loaded, batch.inputs(), [Site("head", 0)], lambda hidden: hidden.sum())
    with pytest.raises(CapabilityError, match=r"No site 'heads'. Did you mean 'head'\?"):
        values_and_gradients(loaded, batch.inputs(), [Site("heads", 0)], last_log_probability(loaded, batch))
