"""Items -> batches of similar length -> rectangles, padded on either side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Int
from transformers import PreTrainedTokenizerBase

from interp.model.tokens.prompts import EncodedItem

__all__ = ["Batch", "length_sorted", "make_batches", "pad", "pad_rows", "split_batch", "token_positions"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Batch:
    """Items as a rectangle.

    Attributes:
        items: In row order.
        ids: Token ids, padded.
        attention: 1 on tokens, 0 on padding.
        counted: True on tokens that count.
    """

    items: tuple[EncodedItem, ...]
    ids: Int[torch.Tensor, "prompt token"]
    attention: Int[torch.Tensor, "prompt token"]
    counted: Bool[torch.Tensor, "prompt token"]

    def inputs(self) -> dict[str, torch.Tensor | bool]:
        """Arguments of the decoder."""
        return {
            "input_ids": self.ids,
            "attention_mask": self.attention,
            "position_ids": token_positions(self.attention),
            "use_cache": False,
        }


def make_batches(
    items: Iterable[Item],
    budget: int,
    cost: Callable[[Item], int],
    *,
    order: Callable[[Item], Any] | None = None,
    padded: bool = True,
) -> list[tuple[Item, ...]]:
    """Group items so that a batch costs at most ``budget``; an item that costs more is a batch of its own.

    Args:
        items: What is grouped.
        budget: Of one batch, such as padded tokens.
        cost: Of one item.
        order: What items are sorted by; by default the most expensive first, so that memory runs out at once
            or not at all. Items that it does not tell apart stay as they come.
        padded: Whether every item of a batch costs what its most expensive one does, as in a rectangle.
    """
    batches: list[list[Item]] = []
    largest = total = 0
    for item in sorted(items, key=order or (lambda item: -cost(item))):
        price = cost(item)
        largest, total = max(largest, price), total + price
        if not batches or (largest * (len(batches[-1]) + 1) if padded else total) > budget:
            batches.append([])
            largest = total = price
        batches[-1].append(item)
    return [tuple(batch) for batch in batches]


def length_sorted(items: Sequence[EncodedItem], batch_tokens: int) -> list[tuple[EncodedItem, ...]]:
    """Batches of at most ``batch_tokens`` padded tokens, longest first, whatever the items' order."""
    return make_batches(items, batch_tokens, len, order=lambda i: (-len(i), i.language, i.item_id))


def split_batch(batch: Batch, batch_tokens: int) -> list[Batch]:
    """The rows of a batch in batches of at most ``batch_tokens`` padded tokens, as wide as they are."""
    rows = max(1, batch_tokens // batch.ids.shape[1])
    parts = [slice(start, start + rows) for start in range(0, len(batch.items), rows)]
    return [Batch(batch.items[p], batch.ids[p], batch.attention[p], batch.counted[p]) for p in parts]


def filler(tokenizer: PreTrainedTokenizerBase, n_embeddings: int) -> int:
    """What fills a batch: masked everywhere, so where there is no padding token any embedded id will do."""
    pad = tokenizer.pad_token_id
    return pad if isinstance(pad, int) and pad < n_embeddings else 0


def pad_rows(
    rows: Sequence[Sequence[int]], *, fill: int, side: str = "right", device: torch.device | None = None
) -> tuple[Int[torch.Tensor, "row column"], Int[torch.Tensor, "row column"]]:
    """Lay rows out as a rectangle: the values, and a mask that is 1 on them and 0 on padding.

    Args:
        rows: Token ids, labels or anything else of whole numbers.
        fill: What padding is.
        side: Where it is: 'left' or 'right'.
        device: Where the tensors go; the CPU by default.
    """
    width = max(map(len, rows))
    values = np.full((len(rows), width), fill, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for number, row in enumerate(rows):
        at = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        values[number, at], mask[number, at] = row, 1
    return torch.from_numpy(values).to(device), torch.from_numpy(mask).to(device)


def token_positions(mask: Int[torch.Tensor, "row token"]) -> Int[torch.Tensor, "row token"]:
    """Position of every token among the real ones, so that the padding side does not matter."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def pad(items: Sequence[EncodedItem], *, pad_id: int, side: str, device: torch.device) -> Batch:
    """Lay items out as a rectangle, padded on the given side ('left' or 'right')."""
    ids, attention = pad_rows([item.ids for item in items], fill=pad_id, side=side, device=device)
    counted, _ = pad_rows([item.counted for item in items], fill=0, side=side, device=device)
    return Batch(tuple(items), ids, attention, counted.bool())
