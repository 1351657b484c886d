"""Which tokens of a prompt stand for it: a weight per token, for each positions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from transformers import PreTrainedTokenizerBase

from interp.data.prompts import PromptSet
from interp.model.tokens import EncodedItem, EncodedPrompts, TokenizedPrompt

__all__ = ["ONE_TOKEN", "POSITIONS", "Key", "position_weights"]

POSITIONS = ("last", "subject_last", "mean", "weighted")
ONE_TOKEN = ("last", "subject_last")

Key = tuple[int, str]
"""Number of the language, item id."""


def position_weights(
    positions: str,
    prompts: PromptSet,
    encoded: EncodedPrompts,
    tokenizer: PreTrainedTokenizerBase,
    subjects: Mapping[Key, str] | None = None,
) -> dict[Key, Float[np.ndarray, " token"]]:
    """Weight every token of every prompt; the weights of a prompt sum to one.

    ``last``: the last token that counts. ``subject_last``: the last token with a character of the subject's
    last mention. ``mean``: equal weights on the tokens that count. ``weighted``: the t-th token weighs t,
    special tokens included, as in MEXA.

    Args:
        positions: One of `POSITIONS`.
        prompts: What was tokenized.
        encoded: Its tokens.
        tokenizer: That made them.
        subjects: For ``subject_last``: the subject's name in every prompt.

    Raises:
        CapabilityError: The tokenizer does not say which characters a token covers.
        MeasurementError: A prompt does not name its subject.
    """
    if positions == "subject_last":
        at = _subject_ends(prompts, tokenizer, subjects or {})
        return {key_of(item): _one_hot(len(item), at[key_of(item)]) for item in encoded.items}
    weigh = {"last": _last, "mean": _mean, "weighted": _weighted}[positions]
    return {key_of(item): weigh(item) for item in encoded.items}


def key_of(item: EncodedItem) -> Key:
    """Name an item."""
    return item.language, item.item_id


def _last(item: EncodedItem) -> Float[np.ndarray, " token"]:
    return _one_hot(len(item), int(np.flatnonzero(item.counted)[-1]))


def _mean(item: EncodedItem) -> Float[np.ndarray, " token"]:
    counted = np.array(item.counted, dtype=np.float32)
    return counted / counted.sum()


def _weighted(item: EncodedItem) -> Float[np.ndarray, " token"]:
    position = np.arange(1, len(item) + 1, dtype=np.float32)
    return position / position.sum()


def _one_hot(length: int, at: int) -> Float[np.ndarray, " token"]:
    weights = np.zeros(length, dtype=np.float32)
    weights[at] = 1
    return weights


def _subject_ends(
    prompts: PromptSet, tokenizer: PreTrainedTokenizerBase, subjects: Mapping[Key, str]
) -> dict[Key, int]:
    """The number of the last token of each prompt's subject."""
    ends = {}
    for index, code in enumerate(prompts.languages):
        for prompt in prompts.prompts[code]:
            key = (index, prompt.item_id)
            ends[key] = TokenizedPrompt(tokenizer, prompt).positions_of(subjects.get(key, ""))[-1]
    return ends
