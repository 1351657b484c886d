"""Prompts as tokens of which one is read: the last before the answer, or the last of what is asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool
from transformers import PreTrainedTokenizerBase

from interp.data.prompts import Prompt, PromptSet
from interp.errors import ConfigError, MeasurementError, nearest
from interp.measure.lens.token_sets import Vocabulary
from interp.model.loading import LoadedModel
from interp.model.tokens import EncodedItem, EncodedPrompts, TokenizedPrompt, TokenizedText, tokenize

__all__ = ["POSITIONS", "ReadPrompts", "encode_positions", "require_position"]

POSITIONS = ("last", "subject_last")
"""``last``: the token that the answer follows. ``subject_last``: the last token of what is asked about."""


@dataclass(frozen=True)
class ReadPrompts:
    """Encoded prompts without their answers; the one counted token of an item is the one that is read.

    Attributes:
        encoded: In the order of the prompt set, all in one block.
        clean: Per item and language, whether the border between prompt and answer is one between tokens.
        after_space: Prompts that were read after a space, because the tokenizer makes a token of it.
    """

    encoded: EncodedPrompts
    clean: Bool[np.ndarray, "item language"]
    after_space: int


def encode_positions(
    loaded: LoadedModel,
    prompts: PromptSet,
    vocabulary: Vocabulary,
    position: str = "last",
    subjects: Mapping[str, Mapping[str, str]] | None = None,
) -> ReadPrompts:
    """Tokenize prompts up to their answers, and choose the token that is read.

    Where the tokenizer makes a token of the space before the answer, that token is the last one: what follows
    the one before is only the space. Where it joins the end of the prompt with the answer, the model never
    sees that border when it answers, and the item is marked.

    Args:
        loaded: The model.
        prompts: A parallel set, with answers.
        vocabulary: Of the model's tokenizer.
        position: One of `POSITIONS`.
        subjects: Language to item to the text whose last token ``subject_last`` reads.

    Raises:
        ConfigError: The position is unknown.
        MeasurementError: A prompt is empty or longer than the context, has a token that the model lacks, or
            does not hold its subject.
    """
    require_position(position)
    flat = [prompt for code in prompts.languages for prompt in prompts.prompts[code]]
    bare = {code: tuple(replace(p, answer="") for p in prompts.prompts[code]) for code in prompts.languages}
    plain = loaded.encode(replace(prompts, prompts=bare))
    joint = [text.ids for text in tokenize(loaded.tokenizer, [prompt.full_text for prompt in flat])]
    items = [_up_to_answer(item, ids, vocabulary) for item, ids in zip(plain.items, joint, strict=True)]
    over = next((item for item in items if len(item) > loaded.context), None)
    if over is not None:
        raise MeasurementError(
            f"Item {plain.describe(over)} and the space before its answer have {len(over)} tokens, the "
            f"model's context is {loaded.context}. Shorten or remove it; nothing is truncated."
        )
    if position == "last":
        read = [len(item) - 1 for item in items]
    else:
        read = [_last_of_subject(loaded.tokenizer, prompt, subjects or {}) for prompt in flat]
    read_items = [replace(item, counted=_only(at, len(item))) for item, at in zip(items, read, strict=True)]
    clean = [ids[: len(item)] == item.ids for item, ids in zip(items, joint, strict=True)]
    spaces = sum(vocabulary.is_blank(item.ids[at]) for item, at in zip(items, read, strict=True))
    shape = (len(prompts.languages), prompts.n_items)
    return ReadPrompts(replace(plain, items=tuple(read_items)), np.array(clean).reshape(shape).T, spaces)


def require_position(position: str) -> None:
    """Refuse a position that does not exist.

    Raises:
        ConfigError: Names the nearest.
    """
    if position not in POSITIONS:
        raise ConfigError(
            f"No position '{position}'.{nearest(position, POSITIONS)} Choose from: {', '.join(POSITIONS)}."
        )


def _up_to_answer(item: EncodedItem, joint: tuple[int, ...], vocabulary: Vocabulary) -> EncodedItem:
    """The item without what the tokenizer adds at the end, and with the spaces that it makes tokens of."""
    ids = TokenizedText(item.ids, item.counted).without_end().ids
    end = len(ids)
    while joint[:end] == ids and end < len(joint) and vocabulary.is_blank(joint[end]):
        end += 1
        ids = joint[:end]
    return replace(item, ids=ids)


def _last_of_subject(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, subjects: Mapping[str, Mapping[str, str]]
) -> int:
    """The last token of what a prompt is about, where it is named last."""
    subject = subjects.get(prompt.language, {}).get(prompt.item_id, "")
    return TokenizedPrompt(tokenizer, prompt).positions_of(subject)[-1]


def _only(at: int, length: int) -> tuple[bool, ...]:
    return tuple(i == at for i in range(length))
