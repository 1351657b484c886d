"""Sums per language and block: which cell of theirs a token counts in, and what they need of it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int

from interp.errors import MeasurementError
from interp.model.tokens import Batch, EncodedPrompts

__all__ = ["cell_weights", "cells_of", "require_blocks", "require_full_blocks", "require_tokens"]


def cells_of(encoded: EncodedPrompts, batch: Batch) -> Int[torch.Tensor, " prompt"]:
    """The cell, language * blocks + block, of every prompt of a batch."""
    rows = [item.language * encoded.n_blocks + item.block for item in batch.items]
    return torch.tensor(rows, device=batch.ids.device)


def cell_weights(
    encoded: EncodedPrompts, batch: Batch
) -> tuple[Int[torch.Tensor, " cell"], Float[torch.Tensor, "cell token"]]:
    """The batch's cells, and a 0/1 matrix over prompt * tokens per prompt + token: which count where."""
    cells, where = torch.unique(cells_of(encoded, batch), return_inverse=True)
    member = torch.nn.functional.one_hot(where, len(cells)).T.float()
    weights = member[:, :, None] * batch.counted.float()[None]
    return cells, weights.flatten(1)


def require_tokens(encoded: EncodedPrompts, min_tokens: int) -> None:
    """Refuse languages with too few tokens for a rate to mean anything."""
    require_blocks(encoded.n_blocks)
    counts = zip(encoded.tokens().sum(axis=1).tolist(), encoded.n_items().sum(axis=1).tolist(), strict=True)
    for code, (count, items) in zip(encoded.languages, counts, strict=True):
        if count < min_tokens:
            enough = -(-min_tokens * items // max(1, count))
            raise MeasurementError(
                f"Language '{code}' has {count} tokens in {items} prompts; {min_tokens} are needed, because "
                f"the standard error of a rate is up to {0.5 / max(1, count) ** 0.5:.3f}. About {enough} "
                "prompts would do; or lower min_tokens if you accept that."
            )


def require_blocks(n_blocks: int) -> None:
    """Refuse fewer blocks than an interval needs."""
    if n_blocks < 2:
        raise MeasurementError(f"{n_blocks} block; at least 2 are needed for an interval.")


def require_full_blocks(encoded: EncodedPrompts) -> None:
    """Refuse a block without items in some language: the interval would stand on the others alone."""
    for language, block in zip(*(encoded.n_items() == 0).nonzero(), strict=True):
        raise MeasurementError(
            f"Block {block} has no items in language '{encoded.languages[language]}'. Use fewer blocks, or "
            "add prompts."
        )
