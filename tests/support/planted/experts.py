"""A tiny mixture of experts in which we put a router that sends one language to one expert, on the text of
`tests.support.planted.language`, whose letters differ between languages in reserved dimensions alone."""

from __future__ import annotations

import torch

from interp.model.loading import LoadedModel, adopt_model
from tests.support.planted.language import MARK, VOICE, plant_letters
from tests.support.tiny import byte_tokenizer, tiny_model

LAYER, EXPERT, N_EXPERTS = 1, 3, 4
_SURE = 1e4  # a logit that leaves nothing to others


def planted_routers(*, planted: bool = True) -> LoadedModel:
    """Top-1 of 4 experts. Layer 1 sends the planted language to expert 3 and others evenly to the rest.

    Its experts write nothing, so that no later router can tell. Without the plant no router sees a language.
    """
    model = tiny_model("qwen3_moe", tie_word_embeddings=False, num_experts_per_tok=1)
    reserved = slice(MARK, VOICE + 1)
    with torch.no_grad():
        plant_letters(model)
        for layer in model.model.layers:
            for reader in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
                reader.weight[:, reserved] = 0
            layer.self_attn.o_proj.weight[reserved] = 0
            layer.mlp.gate.weight[:, reserved] = 0
            layer.mlp.experts.gate_up_proj[:, :, reserved] = 0
            layer.mlp.experts.down_proj[:, reserved] = 0
        if planted:
            here = model.model.layers[LAYER].mlp
            here.gate.weight.zero_()
            here.gate.weight[EXPERT, MARK] = _SURE
            here.experts.down_proj.zero_()
    return adopt_model(model, byte_tokenizer())
