"""Sites on every family: their axes, what they equal, and architectures and models that are refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import MptConfig, MptForCausalLM
from transformers.activations import ACT2FN

from interp.errors import CapabilityError
from interp.model.hooks import editing, reading
from interp.model.loading import adopt_model
from interp.model.selfcheck import check_sites
from interp.model.sites import SITES, Site, locate
from tests.support.tiny import FAMILIES, byte_tokenizer, opened, tiny_model

MORE = ("gemma2", "gemma3_text", "olmo3", "granite", "cohere", "mixtral")
GATED = tuple(family for family in (*FAMILIES, *MORE) if family != "mixtral")
IDS = torch.arange(60, 84).reshape(2, 12)
WIDTHS = {"head": (4, 8), "mlp_gate": (48,), "mlp_neuron": (48,)}


def read_all(loaded, names=SITES):
    values = {}
    names = [name for name in names if name not in loaded.architecture.missing]
    sites = [Site(name, layer) for name in names for layer in range(loaded.architecture.n_layers)]
    with (
        torch.no_grad(),
        reading(loaded.architecture, dict.fromkeys(sites, lambda v, s: values.update({s: v.clone()}))),
    ):
        logits = loaded.model(input_ids=IDS).logits
    return values, logits


@pytest.mark.parametrize("family", GATED)
def test_every_site_is_read_with_its_axes(family):
    loaded = opened(family)
    values, _ = read_all(loaded)
    assert len(values) == (len(SITES) - (family == "cohere")) * 3
    for site, value in values.items():
        assert value.shape == (2, 12, *WIDTHS.get(site.name, (32,))), site


@pytest.mark.parametrize("family", GATED)
def test_sites_are_what_they_are_called(family):
    loaded = opened(family)
    values, logits = read_all(loaded)
    config = loaded.architecture.config
    act = ACT2FN[getattr(config, "hidden_activation", None) or config.hidden_act]
    for layer in range(3):
        parts = loaded.architecture.layers[layer]
        gate, neuron = values[Site("mlp_gate", layer)], values[Site("mlp_neuron", layer)]
        with torch.no_grad():
            assert torch.equal(parts.mlp.down_proj(neuron), values[Site("mlp_out", layer)])
            heads = values[Site("head", layer)]
            alone = [
                parts.self_attn.o_proj((heads * (torch.arange(4) == h)[:, None]).flatten(-2))
                for h in range(4)
            ]
            assert torch.allclose(sum(alone), values[Site("attn_out", layer)], atol=1e-5)
            if hasattr(parts.mlp, "up_proj"):  # the neuron, from the input of the MLP
                entering = {}
                handle = parts.mlp.register_forward_pre_hook(lambda m, a: entering.update(x=a[0]))  # noqa: B023
                loaded.model(input_ids=IDS)
                handle.remove()
                assert torch.allclose(act(parts.mlp.gate_proj(entering["x"])), gate, atol=1e-5)
                assert torch.allclose(gate * parts.mlp.up_proj(entering["x"]), neuron, atol=1e-5)
    for layer in range(2):
        assert torch.equal(values[Site("resid_post", layer)], values[Site("resid_pre", layer + 1)])
    with torch.no_grad():
        hidden = loaded.architecture.body(input_ids=IDS).last_hidden_state
        assert torch.allclose(loaded.architecture.unembed(hidden), logits, atol=1e-5)


@pytest.mark.parametrize("family", [f for f in (*FAMILIES, *MORE) if f != "cohere"])
def test_all_that_follows_depends_on_the_stream_between_attention_and_mlp_alone(family):
    loaded = opened(family, **({"residual_multiplier": 0.3} if family == "granite" else {}))
    other = IDS.flip(1)
    kept = {}
    site = Site("resid_mid", 1)
    with torch.no_grad():
        with reading(loaded.architecture, {site: lambda v, s: kept.update(between=v.clone())}):
            expected = loaded.model(input_ids=other).logits
        with editing(loaded.architecture, {site: lambda v, s: kept["between"]}):
            found = loaded.model(input_ids=IDS).logits
        assert not torch.allclose(loaded.model(input_ids=IDS).logits, expected, atol=1e-2)
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_layer_that_runs_attention_and_mlp_side_by_side_has_no_stream_between_them():
    loaded = opened("cohere")
    with pytest.raises(
        CapabilityError, match="'cohere' has no site 'resid_mid': layer 0 has no post_attention"
    ):
        loaded.architecture.require("resid_mid")


def test_a_layer_that_adds_attention_otherwise_loses_that_site_alone():
    model = tiny_model("granite", residual_multiplier=0.5)
    assert not adopt_model(model, byte_tokenizer()).architecture.missing
    model.config.residual_multiplier = 0.25  # the layers keep what they were made with
    missing = adopt_model(model, byte_tokenizer()).architecture.missing
    assert "what enters and what attention adds are not what the MLP's side reads" in missing.pop("resid_mid")
    assert not missing


@pytest.mark.parametrize("family", [*FAMILIES, *MORE])
def test_bfloat16_passes_the_self_check(family):
    opened(family, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("granite", {"logits_scaling": 3.0}),
        ("cohere", {"logit_scale": 0.5}),
        ("gemma2", {"final_logit_softcapping": 0.3}),
    ],
)
def test_logits_are_scaled_as_the_model_scales_them(family, changes):
    loaded, plain = opened(family, **changes), opened(family, **dict.fromkeys(changes, 1.0))
    with torch.no_grad():
        hidden = loaded.architecture.body(input_ids=IDS).last_hidden_state
        logits = loaded.model(input_ids=IDS).logits
        assert torch.allclose(loaded.architecture.unembed(hidden), logits, atol=1e-6)
        assert not torch.allclose(plain.model(input_ids=IDS).logits, logits, atol=1e-3)


def test_head_width_is_the_configs_and_not_hidden_size_over_heads():
    loaded = opened("qwen3", head_dim=12)
    assert (loaded.architecture.n_heads, loaded.architecture.d_head) == (4, 12)
    values, _ = read_all(loaded, ["head"])
    assert values[Site("head", 0)].shape == (2, 12, 4, 12)


def test_only_the_edited_head_moves():
    loaded = opened("qwen2")
    before, _ = read_all(loaded, ["attn_out"])
    projection = loaded.architecture.layers[1].self_attn.o_proj

    def silence(value, site):
        value = value.clone()
        value[:, :, 2] = 0
        return value

    with editing(loaded.architecture, {Site("head", 1): silence}):
        heads, _ = read_all(loaded, ["attn_out"])
    values, _ = read_all(loaded, ["head"])
    share = projection.weight[:, 16:24] @ values[Site("head", 1)][0, 0, 2]
    assert torch.allclose(
        heads[Site("attn_out", 1)][0, 0], before[Site("attn_out", 1)][0, 0] - share, atol=1e-5
    )


# what is refused


def test_architectures_without_sites_say_what_they_have():
    shape = {"d_model": 32, "n_heads": 4, "n_layers": 2}
    with pytest.raises(
        CapabilityError, match="'mpt' has no stack 'layers' in MptModel; found: wte, blocks, norm_f"
    ):
        adopt_model(MptForCausalLM(MptConfig(vocab_size=259, **shape)), byte_tokenizer())


def test_a_mixture_of_experts_has_heads_and_neurons_at_sites_of_their_own():
    loaded = opened("mixtral")
    architecture = loaded.architecture
    assert architecture.n_neurons == 4 * 48
    values, _ = read_all(loaded, ["head", "attn_out", "resid_pre", "resid_post", "mlp_out"])
    assert values[Site("head", 2)].shape == (2, 12, 4, 8)
    with pytest.raises(CapabilityError) as caught:
        architecture.require("mlp_gate")
    text = "'mixtral' has no site 'mlp_gate': layer 0 routes tokens to experts, whose neurons are counted by"
    assert str(caught.value).startswith(text)
    assert str(caught.value).endswith(
        "Choose from: resid_pre, resid_mid, resid_post, head, attn_out, mlp_out."
    )
    with pytest.raises(CapabilityError, match="no site 'expert_gate': it routes no tokens to experts"):
        opened("llama").architecture.require("expert_gate")


def test_unknown_site_and_layer():
    architecture = opened("llama").architecture
    with pytest.raises(
        CapabilityError, match=r"No site 'mlp_gat'\. Did you mean 'mlp_gate'\? Choose from: resid_pre,"
    ):
        architecture.module(Site("mlp_gat", 0))
    for layer in (-1, 3):
        with pytest.raises(CapabilityError, match=f"No layer {layer}: 'llama' has layers 0 to 2"):
            architecture.module(Site("head", layer))


def test_heads_that_do_not_fill_the_projection():
    model = tiny_model("llama")
    model.config.num_attention_heads = 5
    text = "no site 'head': 5 heads of 8 do not make the 32 inputs of the attention output projection"
    with pytest.raises(CapabilityError, match=text):
        locate(model).require("head")


class _IgnoresItsActivation(nn.Module):
    """An MLP that has an act_fn, and uses another one."""

    def __init__(self, mlp, calls: bool):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj, self.act_fn = (
            mlp.gate_proj,
            mlp.up_proj,
            mlp.down_proj,
            nn.SiLU(),
        )
        self.calls = calls

    def forward(self, x):
        gate = self.gate_proj(x)
        if self.calls:
            self.act_fn(gate)
        return self.down_proj(torch.relu(gate) * self.up_proj(x))


@pytest.mark.parametrize(
    ("calls", "text"),
    [(True, r"act\(gate\) \* up is not what the MLP's output projection reads"), (False, "never fired")],
)
def test_a_site_that_the_model_does_not_use(calls, text):
    model = tiny_model("llama")
    model.model.layers[1].mlp = _IgnoresItsActivation(model.model.layers[1].mlp, calls)
    architecture = adopt_model(model, byte_tokenizer()).architecture
    with pytest.raises(CapabilityError, match=f"'llama' has no site 'mlp_gate': .*{text}"):
        architecture.require("mlp_gate")
    architecture.require("head", "mlp_neuron", "resid_mid")  # it loses that site alone


def test_a_dead_site_is_named():
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.layers[2].mlp.down_proj.weight.zero_()
    architecture = adopt_model(model, byte_tokenizer()).architecture
    text = r"no site 'mlp_gate': editing mlp_gate\[2\] \(output of SiLU.*\) does not change the logits"
    with pytest.raises(CapabilityError, match=text):
        architecture.require("mlp_gate")
    architecture.require("head", "resid_post")


def test_values_that_are_not_finite_refuse_the_model():
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight[0, 0] = float("nan")
    with pytest.raises(
        CapabilityError, match=r"'llama': layer 1: the values are not finite\. Check the weights"
    ):
        adopt_model(model, byte_tokenizer())


def test_a_decoder_that_fails_as_measures_run_it_is_refused_in_one_line():
    model = tiny_model("llama")
    forward = model.model.forward

    def without_positions(input_ids, attention_mask=None, use_cache=None):
        return forward(input_ids, attention_mask=attention_mask, use_cache=use_cache)

    model.model.forward = without_positions
    with pytest.raises(
        CapabilityError, match="'llama' cannot be run as measures run a decoder: TypeError: "
    ) as caught:
        adopt_model(model, byte_tokenizer())
    assert "\n" not in str(caught.value)


def test_heads_that_do_not_add_up():
    class Saturating(nn.Linear):
        def forward(self, x):
            return torch.tanh(super().forward(x))

    model = tiny_model("llama")
    old = model.model.layers[1].self_attn.o_proj
    model.model.layers[1].self_attn.o_proj = Saturating(32, 32, bias=False)
    model.model.layers[1].self_attn.o_proj.weight = old.weight
    architecture = adopt_model(model, byte_tokenizer()).architecture
    with pytest.raises(CapabilityError, match="layer 1: heads do not add up to the attention output"):
        architecture.require("head")
    architecture.require("attn_out")


def test_an_unembedding_that_is_not_the_whole_story():
    model = tiny_model("llama")
    architecture = locate(model)
    model.lm_head.register_forward_hook(lambda module, args, out: out)
    check_sites(model, architecture)
    forward = model.forward

    def scaled(**kwargs):
        out = forward(**kwargs)
        out.logits = out.logits * 3
        return out

    model.forward = scaled
    with pytest.raises(
        CapabilityError, match="logits: decoder \\+ unembedding do not give the model's logits"
    ):
        check_sites(model, architecture)
