"""Hooks: always removed, an error when they never fired, and no effect that was not asked for."""

from __future__ import annotations

import pytest
import torch

from interp.errors import CapabilityError
from interp.model.hooks import editing, reading
from interp.model.sites import SITES, Site
from tests.support.tiny import PLANTED_FAMILIES, opened

IDS = torch.arange(60, 84).reshape(2, 12)
EVERYWHERE = [Site(name, layer) for name in SITES for layer in range(3)]


@pytest.fixture(scope="module")
def loaded():
    return opened("llama")


def hooks(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def logits(loaded):
    with torch.no_grad():
        return loaded.model(input_ids=IDS).logits


@pytest.mark.parametrize("family", PLANTED_FAMILIES)
def test_reading_and_editing_with_the_identity_change_no_bit(family):
    loaded = opened(family)
    bare = logits(loaded)
    with reading(loaded.architecture, dict.fromkeys(EVERYWHERE, lambda value, site: None)):
        assert torch.equal(logits(loaded), bare)
    with editing(loaded.architecture, dict.fromkeys(EVERYWHERE, lambda value, site: value)):
        assert torch.equal(logits(loaded), bare)
    assert hooks(loaded.model) == 0


def test_what_a_reader_returns_is_ignored(loaded):
    bare = logits(loaded)
    with reading(loaded.architecture, dict.fromkeys(EVERYWHERE, lambda value, site: value * 0)):
        assert torch.equal(logits(loaded), bare)


@pytest.mark.parametrize("name", SITES)
def test_an_edit_takes_effect_inside_the_context_only(loaded, name):
    bare = logits(loaded)
    with editing(loaded.architecture, {Site(name, 1): lambda value, site: value * 1.5}):
        assert not torch.allclose(logits(loaded), bare, atol=1e-4)
    assert torch.equal(logits(loaded), bare)


def test_the_order_in_which_edits_are_given_does_not_matter(loaded):
    """The stream between attention and MLP is edited relative to what entered, which may be edited too."""
    edits = {Site("resid_pre", 1): lambda v, s: v * 1.5, Site("resid_mid", 1): lambda v, s: v * 0 + 1}
    found = []
    for sites in (list(edits), list(edits)[::-1]):
        with editing(loaded.architecture, {site: edits[site] for site in sites}):
            found.append(logits(loaded))
    assert torch.equal(*found)
    with editing(loaded.architecture, {Site("resid_mid", 1): edits[Site("resid_mid", 1)]}):
        assert torch.allclose(logits(loaded), found[0], atol=1e-5)  # what entered is gone


@pytest.mark.parametrize("context", [reading, editing])
def test_hooks_are_removed_after_an_error(loaded, context):
    def fails(value, site):
        raise ZeroDivisionError(site)

    with (
        pytest.raises(ZeroDivisionError, match=r"head\[1\]"),
        context(loaded.architecture, {Site("head", 1): fails}),
    ):
        logits(loaded)
    with pytest.raises(KeyError), context(loaded.architecture, {Site("head", 0): lambda v, s: v}):
        raise KeyError("the caller's own error is not replaced")
    good, bad = (
        Site("head", 0),
        Site("head", 3),
    )  # the first is hooked before the second is found to be missing
    with (
        pytest.raises(CapabilityError, match="No layer 3"),
        context(loaded.architecture, {good: fails, bad: fails}),
    ):
        pass
    assert hooks(loaded.model) == 0


@pytest.mark.parametrize("context", [reading, editing])
def test_a_site_that_never_fired_is_an_error(loaded, context):
    asked = {Site("mlp_gate", layer): lambda value, site: value for layer in range(3)}
    text = r"3 of 3 sites never fired, first mlp_gate\[0\] \(SiLU.* of 'llama'\)"
    with pytest.raises(CapabilityError, match=text), context(loaded.architecture, asked):
        pass
    assert hooks(loaded.model) == 0


def test_one_silent_site_among_others_is_an_error(loaded):
    asked = {Site("head", 0): lambda value, site: None, Site("head", 2): lambda value, site: None}
    text = r"1 of 2 sites never fired, first head\[2\]"
    with pytest.raises(CapabilityError, match=text), reading(loaded.architecture, asked):
        loaded.architecture.layers[0].self_attn.o_proj(torch.zeros(1, 1, 32))


@pytest.mark.parametrize(
    ("name", "change", "shape"),
    [
        ("resid_post", lambda v, s: v[:, :-1], r"\(2, 12, 32\) into \(2, 11, 32\)"),
        ("head", lambda v, s: v[:, :, :2], r"into \(2, 12, 16\)"),
    ],
)
def test_an_edit_may_not_change_the_shape(loaded, name, change, shape):
    text = rf"the editor of {name}\[1\] turned shape .*{shape}"
    with pytest.raises(ValueError, match=text), editing(loaded.architecture, {Site(name, 1): change}):
        logits(loaded)
    assert hooks(loaded.model) == 0


def test_contexts_nest_and_the_inner_one_sees_the_outer_edit(loaded):
    site, seen = Site("mlp_neuron", 1), []
    with editing(loaded.architecture, {site: lambda value, site: torch.full_like(value, 7.0)}):
        with reading(loaded.architecture, {site: lambda value, site: seen.append(value.unique().tolist())}):
            logits(loaded)
        inner = logits(loaded)
    assert seen == [[7.0]]
    with editing(loaded.architecture, {site: lambda value, site: torch.full_like(value, 7.0)}):
        assert torch.equal(logits(loaded), inner)
    assert hooks(loaded.model) == 0


def test_heads_are_scaled_one_by_one(loaded):
    scales = torch.tensor([0.0, 1.0, 2.0, 3.0])[:, None]
    seen = []
    projection = loaded.architecture.layers[1].self_attn.o_proj
    with reading(loaded.architecture, {Site("head", 1): lambda value, site: seen.append(value)}):
        logits(loaded)
    with editing(loaded.architecture, {Site("head", 1): lambda value, site: value * scales}):
        handle = projection.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        logits(loaded)
        handle.remove()
    assert torch.equal(seen[1], (seen[0] * scales).flatten(-2))
