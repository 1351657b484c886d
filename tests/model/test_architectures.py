"""Every architecture of the README's table, item by item against the plain model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.errors import CapabilityError
from interp.measure.ablation.removal import removed_units
from interp.model.experts import Routed
from interp.model.final_norm import layer_readout
from interp.model.hooks import editing, reading
from interp.model.loading import adopt_model
from interp.model.sites import EXPERT_SITES, SITES, Site
from interp.model.tokens import pad_rows, token_positions
from tests.support.architectures import DENSE, EXPERTS, VERIFIED, table, verified, written
from tests.support.tiny import byte_tokenizer, opened, tiny_model

IDS = torch.arange(60, 84).reshape(2, 12)
SIDE_BY_SIDE = {"cohere", "gptj", "gpt_neox", "falcon", "phi"}
# what a family lacks; whatever is not named here has to be there
LACKS = {
    **{family: {"resid_mid"} for family in SIDE_BY_SIDE},
    "falcon_h1": {"resid_mid"},
    "qwen3_next": {"head", "attn_out"},
    "lfm2": {"head", "attn_out", "mlp_gate"},
}
UNGATED = {
    "bloom": "mlp.dense_h_to_4h",
    "xglm": "fc1",
    "gpt2": "mlp.c_fc",
    "gptj": "mlp.fc_in",
    "gpt_neox": "mlp.dense_h_to_4h",
    "opt": "fc1",
    "falcon": "mlp.dense_h_to_4h",
    "phi": "mlp.fc1",
    "starcoder2": "mlp.c_fc",
    "apertus": "mlp.up_proj",
    "nemotron": "mlp.up_proj",
    "arcee": "mlp.up_proj",
}


def read(loaded, sites):
    found = {}
    with (
        torch.no_grad(),
        reading(loaded.architecture, dict.fromkeys(sites, lambda v, s: found.update({s: v}))),
    ):
        logits = loaded.model(input_ids=IDS, use_cache=False).logits
    return found, logits


def plain_logits(model, ids=IDS):
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def test_the_readmes_table_is_what_the_models_have():
    assert written() == table(), "python -m tests.support.architectures"


@pytest.mark.parametrize("family", VERIFIED)
def test_a_family_lacks_only_what_it_cannot_have(family):
    found = verified(family).architecture
    routed = {"mlp_gate", "mlp_neuron"} if family in EXPERTS else set()
    assert {name for name in SITES if name in found.missing} == LACKS.get(family, set()) | routed
    found.require_neurons("neuron")
    if family != "lfm2":
        found.require_neurons("gate")
    assert found.d_head == (12 if "deepseek" in family else 8)


@pytest.mark.parametrize("family", VERIFIED)
def test_reading_changes_no_bit_and_every_site_has_its_axes(family):
    loaded = verified(family)
    architecture = loaded.architecture
    sites = [Site(n, layer) for n in (*SITES, *EXPERT_SITES) for layer in architecture.present[n]]
    found, logits = read(loaded, sites)
    assert torch.equal(logits, plain_logits(loaded.model))
    assert found.keys() == set(sites)
    widths = {part.gate: part.width for parts in architecture.neurons for part in parts}
    widths |= {part.neuron: part.width for parts in architecture.neurons for part in parts}
    for site, value in found.items():
        if isinstance(value, Routed):
            assert value.values.shape == (len(value.token), widths[site])
        elif site.name == "head":
            assert value.shape == (2, 12, 4, architecture.d_head)
        else:
            assert value.shape == (2, 12, widths.get(site, 32)), site


@pytest.mark.parametrize("family", UNGATED)
def test_a_neuron_without_a_gate_is_its_activated_projection(family):
    loaded = verified(family)
    layer = loaded.architecture.layers[1]
    projected = []
    handle = layer.get_submodule(UNGATED[family]).register_forward_hook(
        lambda m, a, out: projected.append(out)
    )
    found, _ = read(loaded, [Site("mlp_gate", 1), Site("mlp_neuron", 1)])
    handle.remove()
    activation = next(
        m for name, m in layer.named_modules() if name.split(".")[-1].startswith(("act", "gelu"))
    )
    with torch.no_grad():
        expected = activation(projected[0]).reshape(2, 12, -1)
    assert torch.equal(found[Site("mlp_neuron", 1)], expected)
    assert torch.equal(found[Site("mlp_gate", 1)], expected)


@pytest.mark.parametrize("family", [f for f in VERIFIED if not LACKS.get(f, set()) & {"head"}])
def test_silencing_a_head_is_taking_its_columns_out_of_the_projection(family):
    model = tiny_model(family)
    loaded = verified(family)
    architecture = loaded.architecture

    def silence(value, site):
        value = value.clone()
        value[:, :, 2] = 0
        return value

    with editing(architecture, {Site("head", 1): silence}):
        found = plain_logits(loaded.model)
    name = next(
        n for n, m in loaded.model.named_modules() if m is architecture.module(Site("attn_out", 1))[0]
    )
    weight, d_head = model.get_submodule(name).weight, architecture.d_head
    with torch.no_grad():
        inputs = weight if family == "gpt2" else weight.T  # GPT-2 has weights the other way round
        inputs[2 * d_head : 3 * d_head] = 0
    assert torch.allclose(found, plain_logits(model), atol=1e-4)
    assert not torch.allclose(found, plain_logits(loaded.model), atol=1e-2)


@pytest.mark.parametrize("family", [f for f in DENSE if f != "llama"])
def test_removing_a_neuron_is_taking_its_column_out_of_the_projection(family):
    model = tiny_model(family)
    loaded = verified(family)
    architecture = loaded.architecture
    with removed_units(loaded, "neurons", np.array([architecture.n_neurons + 7])):
        found = plain_logits(loaded.model)
    name = next(n for n, m in loaded.model.named_modules() if m is architecture.module(Site("mlp_out", 1))[0])
    weight = model.get_submodule(name).weight
    with torch.no_grad():
        (weight if family == "gpt2" else weight.T)[7] = 0
    assert torch.allclose(found, plain_logits(model), atol=1e-4)


# experts


def routed_experts(loaded, layer):
    (name,) = [n for n, m in loaded.model.named_modules() if m is loaded.architecture.experts(layer).module]
    return name, loaded.model.get_submodule(name)


def slow_neurons(family, module, hidden, expert):
    """One token through one expert, by the formula of its paper: the activated gate and the neurons."""
    weight = module.gate_up_proj[expert]
    weight = weight.T if family in ("gpt_oss", "llama4_text") else weight
    both = weight @ hidden
    if family == "gpt_oss":
        both = both + module.gate_up_proj_bias[expert]
        gate, up = both[0::2].clamp(max=7.0), both[1::2].clamp(-7.0, 7.0)
        return gate * torch.sigmoid(1.702 * gate), (up + 1) * gate * torch.sigmoid(1.702 * gate)
    gate, up = both[: len(both) // 2], both[len(both) // 2 :]
    return gate * torch.sigmoid(gate), gate * torch.sigmoid(gate) * up


@pytest.mark.parametrize("family", EXPERTS)
def test_every_token_of_every_expert_is_what_the_formula_gives(family):
    loaded = verified(family)
    layer = 1
    _, module = routed_experts(loaded, layer)
    given = []
    handle = module.register_forward_pre_hook(lambda m, args: given.append(args))
    found, _ = read(loaded, [Site("expert_gate", layer), Site("expert_neuron", layer)])
    handle.remove()
    hidden, *routing = given[0]
    if routing:
        pairs = {(token, int(e)) for token, chosen in enumerate(routing[0]) for e in chosen}
        entering = {pair: hidden[pair[0]] for pair in pairs}
    else:  # Llama 4: all tokens for every expert, zero where not routed
        each = hidden.view(4, 24, -1)
        pairs = {(t, e) for e in range(4) for t in range(24) if each[e, t].abs().sum() > 0}
        entering = {(t, e): each[e, t] for t, e in pairs}
    for name, which in (("expert_gate", 0), ("expert_neuron", 1)):
        value = found[Site(name, layer)]
        rows = list(zip(value.token.tolist(), value.expert.tolist(), strict=True))
        assert sorted(rows) == sorted(pairs)
        for row, (token, expert) in zip(value.values, rows, strict=True):
            with torch.no_grad():
                expected = slow_neurons(family, module, entering[token, expert], expert)[which]
            assert torch.allclose(row, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", EXPERTS)
@pytest.mark.parametrize("kind", ["expert", "shared", "mlp"])
def test_removing_a_neuron_of_an_expert_is_taking_it_out_of_its_weights(family, kind):
    loaded = verified(family)
    architecture = loaded.architecture
    part = next((p for parts in architecture.neurons for p in parts if p.kind == kind), None)
    if part is None:
        return
    model = tiny_model(family)
    expert, neuron = (2, 5) if kind == "expert" else (0, 5)
    unit = part.layer * architecture.n_neurons + part.first + expert * part.width + neuron
    with removed_units(loaded, "neurons", np.array([unit])):
        found = plain_logits(loaded.model)
    with torch.no_grad():
        if kind == "expert":
            name, module = routed_experts(loaded, part.layer)
            weight = model.get_submodule(name).down_proj[expert]
            (weight if architecture.experts(part.layer).transposed else weight.T)[neuron] = 0
        else:
            module = architecture.module(part.neuron)[0]
            name = next(n for n, m in loaded.model.named_modules() if m is module)
            model.get_submodule(name).weight[:, neuron] = 0
    assert torch.allclose(found, plain_logits(model), atol=1e-4)
    assert not torch.allclose(found, plain_logits(loaded.model), atol=1e-4)


@pytest.mark.parametrize("family", ["mixtral", "gpt_oss", "llama4_text"])
def test_an_edit_of_gates_passes_on_to_neurons_and_watches_nest(family):
    loaded = verified(family)
    gate, neuron = Site("expert_gate", 1), Site("expert_neuron", 1)
    with editing(loaded.architecture, {gate: lambda v, s: v.values * 0}):
        inner, _ = read(loaded, [neuron])
    assert inner[neuron].values.abs().max() == 0
    with editing(loaded.architecture, {neuron: lambda v, s: v.values * 0 + 7}):
        inner, edited = read(loaded, [neuron])
        assert torch.equal(plain_logits(loaded.model), edited)  # the outer watch goes on
    assert inner[neuron].values.unique().tolist() == [7]
    with editing(loaded.architecture, {neuron: lambda v, s: v.values.clone()}):
        assert torch.equal(plain_logits(loaded.model), read(loaded, [])[1])
    text = "turned shape .* into"
    with (
        pytest.raises(ValueError, match=text),
        editing(loaded.architecture, {neuron: lambda v, s: v.values[1:]}),
    ):
        plain_logits(loaded.model)


def test_experts_that_run_one_by_one_lose_their_sites_with_the_reason():
    model = tiny_model("mixtral")
    model.set_experts_implementation("eager")
    architecture = adopt_model(model, byte_tokenizer()).architecture
    with pytest.raises(
        CapabilityError, match=r"run in one call; call model.set_experts_implementation\('group"
    ):
        architecture.require_neurons("gate")
    model.set_experts_implementation("batched_mm")  # rows as the router gives them
    adopt_model(model, byte_tokenizer()).architecture.require_neurons("gate")


# positions and the last norm


@pytest.mark.parametrize("family", [f for f in VERIFIED if f not in ("falcon_h1", "qwen3_next", "lfm2")])
@pytest.mark.parametrize("changes", [{}, {"alibi": True}])
def test_padding_on_the_left_changes_nothing(family, changes):
    if changes and family != "falcon":
        return
    loaded = opened(family, **changes) if changes else verified(family)
    rows = [tuple(range(60, 72)), tuple(range(90, 97))]
    ids, mask = pad_rows(rows, fill=256, side="left")
    body = loaded.architecture.body
    with torch.no_grad():
        padded = body(
            input_ids=ids, attention_mask=mask, position_ids=token_positions(mask), use_cache=False
        ).last_hidden_state
        for row, states in zip(rows, padded, strict=True):
            alone = body(input_ids=torch.tensor([row]), use_cache=False).last_hidden_state[0]
            assert torch.allclose(states[-len(row) :], alone, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", VERIFIED)
def test_the_last_stream_is_read_as_the_model_reads_it(family):
    loaded = verified(family)
    readout = layer_readout(loaded)
    last = Site("resid_post", loaded.architecture.n_layers - 1)
    found, logits = read(loaded, [last])
    assert torch.allclose(readout.logits(found[last]), logits, atol=1e-5, rtol=1e-4)
    assert readout.weight.shape[1] == len(readout.gain()) == 32
    assert (readout.projection is not None) == (family == "opt")


def test_a_stream_normed_after_attention_and_no_last_norm():
    """OPT 350M: norms stand behind the additions, and only a projection follows the last layer."""
    loaded = opened("opt", do_layer_norm_before=False)
    assert set(loaded.architecture.missing) == {"resid_mid"}
    readout = layer_readout(loaded)
    assert readout.norm is None
    assert readout.projection is not None


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("falcon", {"alibi": True}),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
        ("falcon", {"parallel_attn": False, "multi_query": False}),
        ("gpt_neox", {"use_parallel_residual": False}),
        ("bloom", {"apply_residual_connection_post_layernorm": True}),
        ("deepseek_v2", {"q_lora_rank": None}),
    ],
)
def test_variants_of_a_family_have_heads_and_neurons(family, changes):
    architecture = opened(family, **changes).architecture
    architecture.require("head", "attn_out", "resid_pre", "resid_post", "mlp_out")
    architecture.require_neurons("gate")
    serial = changes.get("parallel_attn") is False or "use_parallel_residual" in changes
    assert ("resid_mid" not in architecture.missing) == (serial or family.startswith("deepseek"))


@pytest.mark.parametrize("family", ["bloom", "gpt_oss", "glm4_moe", "opt", "llama4_text", "apertus"])
def test_bfloat16_loses_no_site(family):
    assert verified(family, torch.bfloat16).architecture.missing.keys() == (
        verified(family).architecture.missing.keys()
    )
