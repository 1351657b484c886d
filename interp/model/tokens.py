"""PromptSet -> token batches: ids, mask, which tokens count; padding and the BOS rule.

A token *counts* in a measurement unless it is padding or a special token that the tokenizer added (BOS, EOS): those
stand in every prompt of every language and would dilute each rate. Nothing is ever truncated silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from transformers import PreTrainedTokenizerBase

from interp.data.prompts import PromptSet
from interp.errors import MeasurementError

__all__ = ["Batch", "EncodedItem", "EncodedPrompts", "encode", "length_sorted", "pad"]


@dataclass(frozen=True)
class EncodedItem:
    """One prompt as tokens.

    Attributes:
        item_id: Of the prompt.
        language: Index into the languages.
        block: Index of its block.
        ids: Token ids.
        counted: Per token, whether it counts.
    """

    item_id: str
    language: int
    block: int
    ids: tuple[int, ...]
    counted: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class EncodedPrompts:
    """All prompts of all languages as tokens, in the order of the prompt set."""

    languages: tuple[str, ...]
    n_blocks: int
    items: tuple[EncodedItem, ...]

    def describe(self, item: EncodedItem) -> str:
        """Name an item for an error message."""
        return f"'{item.item_id}' in '{self.languages[item.language]}'"

    def tokens(self) -> Int[np.ndarray, "language block"]:
        """Counted tokens per language and block."""
        return self._sum([sum(item.counted) for item in self.items])

    def n_items(self) -> Int[np.ndarray, "language block"]:
        """Items per language and block."""
        return self._sum([1] * len(self.items))

    def _sum(self, values: Sequence[int]) -> Int[np.ndarray, "language block"]:
        total = np.zeros((len(self.languages), self.n_blocks), dtype=np.int64)
        np.add.at(total, ([i.language for i in self.items], [i.block for i in self.items]), values)
        return total


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
        """Arguments of the decoder; positions count real tokens, so the padding side does not matter."""
        positions = (self.attention.cumsum(dim=1) - 1).clamp(min=0)
        return {
            "input_ids": self.ids,
            "attention_mask": self.attention,
            "position_ids": positions,
            "use_cache": False,
        }


def encode(
    prompts: PromptSet,
    tokenizer: PreTrainedTokenizerBase,
    *,
    n_blocks: int,
    context: int,
    n_embeddings: int | None = None,
) -> EncodedPrompts:
    """Tokenize prompts (text and answer) and deal them to blocks.

    A parallel set keeps all of its items, so that every language is asked the same. Running text that is not parallel
    is cut, block by block, to the tokens of its shortest language, so that every language is counted equally.

    Raises:
        MeasurementError: An item is empty, longer than the context, or has a token that the model does not embed.
    """
    blocks = prompts.group_blocks(n_blocks)
    items = [
        item
        for index, language in enumerate(prompts.languages)
        for item in _encode_language(prompts, language, index, tokenizer, blocks)
    ]
    encoded = EncodedPrompts(prompts.languages, n_blocks, tuple(items))
    _check_lengths(encoded, context)
    _check_ids(encoded, n_embeddings)
    return encoded if prompts.parallel else _equal_budget(encoded)


def length_sorted(items: Sequence[EncodedItem], batch_tokens: int) -> list[tuple[EncodedItem, ...]]:
    """Group items of similar length so that a padded batch holds at most ``batch_tokens`` (or one item).

    Longest first, so that memory runs out at once or not at all. The order depends on nothing but the items.
    """
    ordered = sorted(items, key=lambda i: (-len(i), i.language, i.item_id))
    batches: list[tuple[EncodedItem, ...]] = []
    start = 0
    while start < len(ordered):
        size = max(1, batch_tokens // len(ordered[start]))
        batches.append(tuple(ordered[start : start + size]))
        start += size
    return batches


def pad(items: Sequence[EncodedItem], *, pad_id: int, side: str, device: torch.device) -> Batch:
    """Lay items out as a rectangle, padded on the given side ('left' or 'right')."""
    width = max(len(item) for item in items)
    ids = np.full((len(items), width), pad_id, dtype=np.int64)
    attention = np.zeros((len(items), width), dtype=np.int64)
    counted = np.zeros((len(items), width), dtype=bool)
    for row, item in enumerate(items):
        span = slice(width - len(item), width) if side == "left" else slice(0, len(item))
        ids[row, span], attention[row, span], counted[row, span] = item.ids, 1, item.counted
    ids_t, attention_t, counted_t = (torch.from_numpy(a).to(device) for a in (ids, attention, counted))
    return Batch(tuple(items), ids_t, attention_t, counted_t)


def _encode_language(
    prompts: PromptSet, language: str, index: int, tokenizer: PreTrainedTokenizerBase, blocks: dict[str, int]
) -> list[EncodedItem]:
    chosen = prompts.prompts[language]
    encoding = tokenizer(
        [p.full_text for p in chosen], return_special_tokens_mask=True, return_attention_mask=False
    )
    return [
        EncodedItem(prompt.item_id, index, blocks[prompt.group], tuple(ids), tuple(not s for s in special))
        for prompt, ids, special in zip(
            chosen, encoding["input_ids"], encoding["special_tokens_mask"], strict=True
        )
    ]


def _check_lengths(encoded: EncodedPrompts, context: int) -> None:
    empty = next((i for i in encoded.items if not any(i.counted)), None)
    if empty is not None:
        raise MeasurementError(
            f"Item {encoded.describe(empty)} has no tokens; remove it, or check the tokenizer."
        )
    longest = max(encoded.items, key=len)
    if len(longest) > context:
        over = sum(len(i) > context for i in encoded.items)
        raise MeasurementError(
            f"Item {encoded.describe(longest)} has {len(longest)} tokens, but the model's context is {context} "
            f"({over} items are too long). Shorten or remove them; nothing is truncated."
        )


def _check_ids(encoded: EncodedPrompts, n_embeddings: int | None) -> None:
    for item in encoded.items:
        if n_embeddings is not None and max(item.ids) >= n_embeddings:
            raise MeasurementError(
                f"Item {encoded.describe(item)} has the token id {max(item.ids)}, but the model embeds {n_embeddings}: the "
                "tokenizer was given tokens that the model was not."
            )


def _equal_budget(encoded: EncodedPrompts) -> EncodedPrompts:
    """Cut every language to the same number of tokens in each block."""
    budget = encoded.tokens().min(axis=0)
    left = np.tile(budget, (len(encoded.languages), 1))
    kept: list[EncodedItem] = []
    for item in encoded.items:
        if left[item.language, item.block] > 0:
            kept.append(_cut(item, int(left[item.language, item.block])))
            left[item.language, item.block] -= sum(kept[-1].counted)
    return replace(encoded, items=tuple(kept))


def _cut(item: EncodedItem, budget: int) -> EncodedItem:
    """The item up to and including its ``budget``-th counted token."""
    running = np.cumsum(item.counted)
    if running[-1] <= budget:
        return item
    end = int(np.searchsorted(running, budget)) + 1
    return replace(item, ids=item.ids[:end], counted=item.counted[:end])
