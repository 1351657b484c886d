"""Text -> tokens -> rectangles, for all engines and training: one encoder, one batcher, one padding.

Nothing is ever truncated silently.
"""

from interp.model.tokens.batches import (
    Batch,
    filler,
    length_sorted,
    make_batches,
    pad,
    pad_rows,
    split_batch,
    token_positions,
)
from interp.model.tokens.encoding import TokenizedPrompt, TokenizedText, tokenize
from interp.model.tokens.prompts import EncodedItem, EncodedPrompts, encode

__all__ = [
    "Batch",
    "EncodedItem",
    "EncodedPrompts",
    "TokenizedPrompt",
    "TokenizedText",
    "encode",
    "filler",
    "length_sorted",
    "make_batches",
    "pad",
    "pad_rows",
    "split_batch",
    "token_positions",
    "tokenize",
]
