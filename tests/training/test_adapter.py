"""Where a LoRA adapter goes, and that a plan counts the weights that it trains."""

from __future__ import annotations

import pytest
from torch import nn

from interp.errors import CapabilityError
from interp.model.sites import linear_layers
from interp.model.widths import model_widths
from tests.support.extras import needed
from tests.support.tiny import tiny_model

needed("peft")
from training.checkpoint.adapter import lora_config, with_adapter  # noqa: E402
from training.methods import PlanConfig  # noqa: E402
from training.plan.table import _parameters  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
FAMILIES = ["qwen2", "olmo2", "gemma", "phi3"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("targets", ["all-linear", "attention"])
def test_a_plan_counts_what_an_adapter_trains(family, targets):
    model = tiny_model(family)
    config = PlanConfig(lora_rank=2, lora_targets=targets)
    counted = _parameters(model.config, config)
    adapted = with_adapter(model, config)
    trained = {name: p.numel() for name, p in adapted.named_parameters() if p.requires_grad}
    assert counted[1] == sum(trained.values())
    assert counted[0] == sum(p.numel() for p in adapted.parameters()) - counted[1]
    assert all("self_attn" in name for name in trained) == (targets == "attention")


def test_attention_alone_has_four_projections_and_all_linear_no_unembedding():
    model = tiny_model("qwen2")
    names = lora_config(PlanConfig(lora_rank=2, lora_targets="attention"), model).target_modules
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj"}
    everything = linear_layers(model)
    assert {name.rpartition(".")[2] for name in everything} == {*names, "gate_proj", "up_proj", "down_proj"}
    assert lora_config(PlanConfig(), model) is None


def test_a_model_without_such_attention_is_refused():
    model = tiny_model("qwen2")
    for layer in model.model.layers:
        layer.self_attn = nn.Identity()
    with pytest.raises(CapabilityError, match="'qwen2' has no linear layers in modules named self_attn"):
        linear_layers(model, attention_only=True)


def test_widths_count_the_heads_of_keys():
    """Width 32, 3 layers, keys of 2 heads of 8; Gemma's heads are not hidden size / heads wide."""
    widths = model_widths(tiny_model("qwen2").config)
    assert (widths.layers, widths.residual, widths.keys) == (3, 32, 16)
    assert model_widths(tiny_model("gemma", head_dim=24).config).keys == 48
