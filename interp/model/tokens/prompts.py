"""PromptSet -> tokens: which of them count, what does not fit the model, and equal budgets for running text.

A token *counts* in a measurement unless it is padding or a special token that the tokenizer added (BOS, EOS):
those stand in every prompt of every language and would dilute each rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from interp.data.prompts import PromptSet
from interp.errors import MeasurementError
from interp.model.tokens.encoding import tokenize

__all__ = ["EncodedItem", "EncodedPrompts", "encode"]


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


def encode(
    prompts: PromptSet,
    tokenizer: PreTrainedTokenizerBase,
    *,
    n_blocks: int,
    context: int,
    n_embeddings: int | None = None,
) -> EncodedPrompts:
    """Tokenize prompts (text and answer) and deal them to blocks.

    A parallel set keeps all of its items, so that every language is asked the same. Running text that is not
    parallel is cut, block by block, to the tokens of its shortest language, so that every language is counted
    equally.

    Raises:
        MeasurementError: An item is empty, longer than the context, or has a token that the model does not
            embed.
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


def _encode_language(
    prompts: PromptSet, language: str, index: int, tokenizer: PreTrainedTokenizerBase, blocks: dict[str, int]
) -> list[EncodedItem]:
    texts = tokenize(tokenizer, [prompt.full_text for prompt in prompts.prompts[language]])
    return [
        EncodedItem(prompt.item_id, index, blocks[prompt.group], text.ids, text.counted)
        for prompt, text in zip(prompts.prompts[language], texts, strict=True)
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
            f"Item {encoded.describe(longest)} has {len(longest)} tokens, but the model's context is "
            f"{context} ({over} items are too long). Shorten or remove them; nothing is truncated."
        )


def _check_ids(encoded: EncodedPrompts, n_embeddings: int | None) -> None:
    for item in encoded.items:
        if n_embeddings is not None and max(item.ids) >= n_embeddings:
            raise MeasurementError(
                f"Item {encoded.describe(item)} has the token id {max(item.ids)}, but the model embeds "
                f"{n_embeddings}: the tokenizer was given tokens that the model was not."
            )


def _equal_budget(encoded: EncodedPrompts) -> EncodedPrompts:
    """Cut every language to the same number of tokens in each block."""
    budget = encoded.tokens().min(axis=0)
    remaining = np.tile(budget, (len(encoded.languages), 1))
    items: list[EncodedItem] = []
    for item in encoded.items:
        if remaining[item.language, item.block] > 0:
            items.append(_cut(item, int(remaining[item.language, item.block])))
            remaining[item.language, item.block] -= sum(items[-1].counted)
    return replace(encoded, items=tuple(items))


def _cut(item: EncodedItem, budget: int) -> EncodedItem:
    """The item up to and including its ``budget``-th counted token."""
    running = np.cumsum(item.counted)
    if running[-1] <= budget:
        return item
    end = int(np.searchsorted(running, budget)) + 1
    return replace(item, ids=item.ids[:end], counted=item.counted[:end])
