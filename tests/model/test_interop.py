"""Two oracles: TransformerLens and nnsight see what we see in the same weights, and leave our model alone.

TransformerLens and nnsight represent all of the families below; none is left out.
"""

from __future__ import annotations

import functools
import sys

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from interp.data.sources import open_prompts
from interp.errors import CapabilityError
from interp.measure.specialization.activations import NeuronCounter
from interp.model.hooks import reading
from interp.model.interop import to_nnsight, to_transformer_lens, transformer_lens_name
from interp.model.loading import adopt_model
from interp.model.sites import SITES, Site
from interp.model.tokens import encode, length_sorted, pad
from tests.support.extras import needed
from tests.support.tiny import FAMILIES, byte_tokenizer, opened, tiny_model

N_BLOCKS = 3
_ORDER = (
    "resid_pre",
    "head",
    "attn_out",
    "resid_mid",
    "mlp_gate",
    "mlp_neuron",
    "mlp_out",
    "resid_post",
)  # as they are computed


@pytest.fixture(scope="module")
def lens():
    return needed("transformer_lens")


@pytest.fixture(scope="module")
def nnsight():
    return needed("nnsight")


@pytest.fixture(scope="module")
def encoded():
    prompts = open_prompts("cldr", ("en", "sw", "ja"), limit=9)
    return encode(prompts, byte_tokenizer(), n_blocks=N_BLOCKS, context=256)


@functools.cache
def _bridged(family):
    loaded = opened(family)
    return loaded, to_transformer_lens(loaded)


def _batch(items, side):
    return pad(items, pad_id=256, side=side, device=torch.device("cpu"))


def _all_sites(loaded):
    return [Site(name, layer) for layer in range(loaded.architecture.n_layers) for name in _ORDER]


@torch.no_grad()
def _ours(loaded, batch):
    """Every site's values on a padded batch."""
    values = {}
    with reading(loaded.architecture, dict.fromkeys(_all_sites(loaded), lambda v, s: values.update({s: v}))):
        loaded.architecture.body(**batch.inputs())
    return values


def _counts(loaded, encoded, side, batch_tokens=2048):
    counter = NeuronCounter(loaded, encoded)
    for items in length_sorted(encoded.items, batch_tokens):
        counter.add(_batch(items, side))
    return counter.counts()


def _activation(loaded):
    mlp = loaded.architecture.layers[0].mlp
    return getattr(mlp, "act_fn", None) or mlp.activation_fn


@torch.no_grad()
def _lens_values(loaded, bridge, item):
    """Every site's values on one prompt without padding, as TransformerLens has them."""
    names = {site: transformer_lens_name(site) for site in _all_sites(loaded)}
    _, cache = bridge.run_with_cache(
        torch.tensor([item.ids]), names_filter=list(names.values()), return_type=None
    )
    values = {site: cache[name] for site, name in names.items()}
    return {s: _activation(loaded)(v) if s.name == "mlp_gate" else v for s, v in values.items()}


def _envoy(loaded, wrapped, site):
    """nnsight's handle of the module that holds a site."""
    module, _ = loaded.architecture.module(site)
    path = next(name for name, other in loaded.model.named_modules() if other is module)
    for part in path.split("."):
        wrapped = wrapped[int(part)] if part.isdigit() else getattr(wrapped, part)
    return wrapped


def _nnsight_values(loaded, wrapped, batch):
    """Every site's values on a padded batch, as nnsight has them."""
    values = {}
    envoys = {site: _envoy(loaded, wrapped, site) for site in _all_sites(loaded)}
    with torch.no_grad(), wrapped.trace(**batch.inputs()):
        for site, envoy in envoys.items():
            value = envoy.input if loaded.architecture.module(site)[1] == "input" else envoy.output
            values[site] = value.save()
    return {site: loaded.architecture.to_axes(site, value) for site, value in values.items()}


@pytest.mark.tl
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_holds_what_transformer_lens_holds(family, side, encoded, lens):
    loaded, bridge = _bridged(family)
    items = encoded.items[::9]  # different lengths, one of each language
    batch = _batch(items, side)
    ours = _ours(loaded, batch)
    assert {site.name for site in ours} == set(SITES)
    for row, item in enumerate(items):
        for site, theirs in _lens_values(loaded, bridge, item).items():
            mine = ours[site][row][batch.attention[row].bool()]
            assert mine.shape == theirs[0].shape
            assert float((mine - theirs[0]).abs().max() / theirs.abs().max()) < 1e-4, site


@pytest.mark.tl
@pytest.mark.parametrize("family", FAMILIES)
def test_neuron_counts_are_those_of_transformer_lens(family, encoded, lens):
    """A count may differ by the tokens whose gate is within rounding of zero, and by no others."""
    loaded, bridge = _bridged(family)
    gates = [transformer_lens_name(Site("mlp_gate", layer)) for layer in range(3)]
    theirs = np.zeros((3, N_BLOCKS, 3, loaded.architecture.n_neurons), dtype=np.int64)
    doubtful = np.zeros_like(theirs)
    for item in encoded.items:
        with torch.no_grad():
            _, cache = bridge.run_with_cache(torch.tensor([item.ids]), names_filter=gates, return_type=None)
        for layer, name in enumerate(gates):
            gate = cache[name][0]
            theirs[item.language, item.block, layer] += (gate > 0).sum(0).numpy()
            doubtful[item.language, item.block, layer] += (
                (gate.abs() < 1e-5 * gate.abs().max()).sum(0).numpy()
            )
    assert doubtful.sum() < 1e-3 * theirs.sum()
    for side in ("left", "right"):
        ours = _counts(loaded, encoded, side)
        assert (np.abs(ours - theirs) <= doubtful).all()


@pytest.mark.nnsight
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_holds_what_nnsight_holds_to_the_bit(family, side, encoded, nnsight):
    loaded = opened(family)
    batch = _batch(encoded.items[::9], side)
    ours, theirs = _ours(loaded, batch), _nnsight_values(loaded, to_nnsight(loaded), batch)
    assert {site.name for site in theirs} == set(SITES)
    for site in theirs:
        assert torch.equal(ours[site], theirs[site]), site


@pytest.mark.nnsight
@pytest.mark.parametrize("family", FAMILIES)
def test_neuron_counts_are_those_of_nnsight(family, encoded, nnsight):
    loaded = opened(family)
    wrapped = to_nnsight(loaded)
    for side in ("left", "right"):
        theirs = np.zeros((3, N_BLOCKS, 3, loaded.architecture.n_neurons), dtype=np.int64)
        for items in length_sorted(encoded.items, 2048):
            batch = _batch(items, side)
            values = _nnsight_values(loaded, wrapped, batch)
            for row, item in enumerate(items):
                for layer in range(3):
                    active = (values[Site("mlp_gate", layer)][row] > 0)[batch.counted[row]]
                    theirs[item.language, item.block, layer] += active.sum(0).numpy()
        assert (_counts(loaded, encoded, side) == theirs).all()


def _portrait(loaded):
    """All that a library could change of a model: its modules, what hangs on them, weights and numerics."""
    model = loaded.model
    hung = {
        name: (
            type(module),
            id(module),
            {k: len(v) if "hook" in k and v else v is None for k, v in vars(module).items()},
        )
        for name, module in model.named_modules()
    }
    tensors = {name: (id(value), value.clone()) for name, value in model.state_dict(keep_vars=True).items()}
    frozen = [p.requires_grad for p in model.parameters()]
    tokenizer = (
        loaded.tokenizer.padding_side,
        len(loaded.tokenizer),
        dict(loaded.tokenizer.special_tokens_map),
    )
    return hung, tensors, frozen, model.training, model.config.to_dict(), loaded.describe(), tokenizer


def _assert_untouched(before, after):
    assert before[1].keys() == after[1].keys()
    for name, (identity, value) in before[1].items():
        assert after[1][name][0] == identity
        assert torch.equal(after[1][name][1], value)
    assert before[:1] + before[2:] == after[:1] + after[2:]


@pytest.mark.tl
@pytest.mark.filterwarnings("ignore:.*does not support fold_ln:UserWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_transformer_lens_leaves_the_model_bit_identical(family, encoded, lens):
    loaded = opened(family)
    batch = _batch(encoded.items[:4], "left")
    logits, before = loaded.model(**batch.inputs()).logits, _portrait(loaded)
    bridge = to_transformer_lens(loaded)
    bridge.enable_compatibility_mode()  # folds norms into weights
    bridge(batch.ids)
    _assert_untouched(before, _portrait(loaded))
    assert torch.equal(loaded.model(**batch.inputs()).logits, logits)


@pytest.mark.nnsight
@pytest.mark.parametrize("family", FAMILIES)
def test_nnsight_leaves_the_model_bit_identical_and_shares_its_weights(family, encoded, nnsight):
    loaded = opened(family)
    batch = _batch(encoded.items[:4], "left")
    logits, before = loaded.model(**batch.inputs()).logits, _portrait(loaded)
    wrapped = to_nnsight(loaded)
    with torch.no_grad(), wrapped.trace(**batch.inputs()):
        wrapped.model.layers[1].mlp.output[:] = 0
        edited = wrapped.output.logits.save()
    assert not torch.allclose(edited, logits)
    _assert_untouched(before, _portrait(loaded))
    assert torch.equal(loaded.model(**batch.inputs()).logits, logits)
    theirs = {parameter.data_ptr() for parameter in wrapped._module.parameters()}
    assert theirs == {parameter.data_ptr() for parameter in loaded.model.parameters()}


@pytest.mark.tl
@pytest.mark.parametrize("bos", [False, True])
def test_transformer_lens_tokenizes_as_we_do(bos, lens):
    loaded = opened("llama", bos=bos)
    assert to_transformer_lens(loaded).to_tokens("Ziwa").tolist() == [loaded.tokenizer("Ziwa")["input_ids"]]


@pytest.mark.tl
def test_an_architecture_that_transformer_lens_does_not_know_is_named(lens):
    model = tiny_model("llama")
    model.__class__ = type("HomemadeForCausalLM", (LlamaForCausalLM,), {})
    with pytest.raises(CapabilityError, match="TransformerLens cannot represent 'HomemadeForCausalLM'"):
        to_transformer_lens(adopt_model(model, byte_tokenizer()))


@pytest.mark.parametrize(
    ("hand", "module", "message"),
    [
        (to_transformer_lens, "transformer_lens.model_bridge.sources", r"TransformerLens .* 'interp\[tl\]'"),
        (to_nnsight, "nnsight", r"nnsight .* 'interp\[nnsight\]'"),
    ],
)
def test_without_the_extra_the_message_says_what_to_install(hand, module, message, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CapabilityError, match=message):
        hand(opened("llama"))


def test_every_site_has_a_transformer_lens_name():
    names = [transformer_lens_name(Site(name, 2)) for name in SITES]
    assert len(set(names)) == len(SITES)
    assert transformer_lens_name(Site("head", 2)) == "blocks.2.attn.hook_z"


def test_a_site_that_does_not_exist_is_refused():
    with pytest.raises(CapabilityError, match=r"No site 'heads'. Did you mean 'head'\?"):
        transformer_lens_name(Site("heads", 0))
