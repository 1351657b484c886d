"""Tiny models of the real architectures, with a byte-level tokenizer, made in memory or saved as a
checkpoint."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from interp.model.loading import LoadedModel, adopt_model

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma", "olmo2", "phi3")
PLANTED_FAMILIES = ("llama", "qwen2", "gemma", "olmo2")
VOCABULARY = 256 + 3

_EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_k": 2,
    "moe_intermediate_size": 24,
    "n_shared_experts": 1,
    "moe_num_shared_experts": 1,
    "shared_expert_intermediate_size": 20,
    "shared_intermediate_size": 20,
    "first_k_dense_replace": 1,
    "moe_layer_start_index": 1,
    "n_group": 2,
    "topk_group": 1,
}
_LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
    "head_dim": None,
}
_LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}
CHANGES: dict[str, dict[str, object]] = {
    "bloom": {"head_dim": None},
    "xglm": {"ffn_dim": 48},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 24},
    "gpt2": {"n_inner": 48},
    "gptj": {"n_inner": 48, "rotary_dim": 4, "head_dim": None},
    "falcon": {"ffn_hidden_size": 48, "head_dim": None},
    "llama4_text": {**_EXPERTS, "intermediate_size_mlp": 48, "interleave_moe_layer_step": 2},
    "deepseek_v2": {**_EXPERTS, **_LATENT, "topk_method": "group_limited_greedy"},
    "deepseek_v3": {**_EXPERTS, **_LATENT},
    **dict.fromkeys(("qwen2_moe", "qwen3_moe", "olmoe", "mixtral", "gpt_oss", "glm4_moe"), _EXPERTS),
    **dict.fromkeys(("ernie4_5_moe", "granitemoe", "granitemoeshared"), _EXPERTS),
    "qwen3_next": {**_EXPERTS, **_LINEAR},
    "falcon_h1": {
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_chunk_size": 16,
    },
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"], "block_auto_adjust_ff_dim": False},
}
"""How the shape of a family differs from Llama's; None leaves an entry out."""

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 256,
    "bos_token_id": 257,
    "eos_token_id": 258,
}


def tiny_model(family: str = "llama", seed: int = 0, **changes: object) -> PreTrainedModel:
    """A random decoder of 3 layers, 4 heads over 2 key/value heads, 48 neurons."""
    torch.manual_seed(seed)
    shape = {**_SHAPE, **CHANGES.get(family, {}), **changes}
    config = CONFIG_MAPPING[family](**{name: value for name, value in shape.items() if value is not None})
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # transformers' init is so small that every edit would vanish in rounding
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and "embed" not in name:
                parameter.normal_(std=0.2)
    return model.eval().requires_grad_(False)


@cache
def byte_tokenizer(bos: bool = False) -> PreTrainedTokenizerFast:
    """One token per UTF-8 byte, so that token counts are known on paper; optionally a BOS in front."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate(alphabet)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<pad>", "<bos>", "<eos>"])
    if bos:
        from tokenizers.processors import TemplateProcessing

        backend.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 257)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


def save_checkpoint(folder: Path, family: str = "llama", seed: int = 0, **changes: object) -> Path:
    """Write a tiny checkpoint as save_pretrained does."""
    tiny_model(family, seed, **changes).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def opened(
    family: str = "llama",
    seed: int = 0,
    *,
    bos: bool = False,
    dtype: torch.dtype = torch.float32,
    **changes: object,
) -> LoadedModel:
    """A tiny model and its tokenizer as measures take them, made in memory."""
    return adopt_model(tiny_model(family, seed, **changes).to(dtype), byte_tokenizer(bos))
