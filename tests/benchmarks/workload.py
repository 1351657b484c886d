"""What is timed: an 8-layer model with random weights, and batches that mix 12 languages and 8 blocks."""

from __future__ import annotations

import torch

from interp.model.loading import LoadedModel
from interp.model.sites import locate
from interp.model.tokens import Batch, EncodedItem, EncodedPrompts, pad
from tests.support.tiny import byte_tokenizer, tiny_model

FAMILIES = ("qwen2", "olmo2")
LANGUAGES = ("en", "de", "id", "pt", "ar", "bn", "sw", "es", "ru", "fr", "ja", "zh")
N_BLOCKS = 8
SHAPE = {
    "vocab_size": 8000,
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
}


def make_model(family: str) -> LoadedModel:
    """The model in float32, without the self-check (which asks for a tokenizer of its size)."""
    model = tiny_model(family, **SHAPE)
    return LoadedModel(None, model, byte_tokenizer(), locate(model))


def make_batch(n_items: int, length: int, seed: int = 0) -> tuple[EncodedPrompts, Batch]:
    """Random tokens without padding; language and block change from row to row, so 16 rows fill 16 cells."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, SHAPE["vocab_size"], (n_items, length), generator=generator).tolist()
    counted = (True,) * length
    items = tuple(
        EncodedItem(f"item-{i}", i % len(LANGUAGES), i % N_BLOCKS, tuple(row), counted)
        for i, row in enumerate(ids)
    )
    return EncodedPrompts(LANGUAGES, N_BLOCKS, items), rectangle(items)


def rectangle(items: tuple[EncodedItem, ...]) -> Batch:
    """Items as a batch on the CPU."""
    return pad(items, pad_id=256, side="right", device=torch.device("cpu"))
