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
    config = CONFIG_MAPPING[family](**{**_SHAPE, **changes})
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # transformers' init is so small that every edit would vanish in rounding
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name:
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
