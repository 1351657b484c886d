"""The widths in a model's configuration: what its memory depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Widths", "model_widths"]


@dataclass(frozen=True)
class Widths:
    """What the memory of a decoder depends on.

    Attributes:
        layers: Number of layers.
        residual: Width of the residual stream.
        keys: Width of a token's keys in a layer, all heads together; its values are as wide.
        queries: Width of its queries, all heads together.
        neurons: Width of the MLP.
        vocabulary: Entries of the vocabulary.
    """

    layers: int
    residual: int
    keys: int
    queries: int
    neurons: int
    vocabulary: int


def model_widths(config: Any) -> Widths:
    """Return the widths in a model's configuration."""
    text = config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Widths(
        text.num_hidden_layers,
        text.hidden_size,
        text.num_key_value_heads * head,
        text.num_attention_heads * head,
        text.intermediate_size,
        text.vocab_size,
    )
