"""Prompts as tokens of which one is read: the last before the answer, or the last of what is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool
from transformers import PreTrainedTokenizerBase

from interp.data.characters import visible
from interp.data.prompts import Prompt, PromptSet
from interp.errors import ConfigError, MeasurementError, nearest
from interp.measure.lens.token_sets import Vocabulary
from interp.model.loading import LoadedModel
from interp.model.subjects import subject_tokens
from interp.model.tokens import EncodedItem, EncodedPrompts, encode

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

    Where the tokenizer makes a token of the space before the answer, that token is the last one: what follows the one
    before is only the space. Where it joins the end of the prompt with the answer, the model never sees that border when it
    answers, and the item is marked.

    Args:
        loaded: The model.
        prompts: A parallel set, with answers.
        vocabulary: Of the model's tokenizer.
        position: One of `POSITIONS`.
        subjects: Language to item to the text whose last token ``subject_last`` reads.

    Raises:
        ConfigError: The position is unknown.
        MeasurementError: A prompt is empty or longer than the context, has a token that the model lacks, or does not hold
            its subject.
    """
    require_position(position)
    asked = [prompt for code in prompts.languages for prompt in prompts.prompts[code]]
    bare = {code: tuple(replace(p, answer="") for p in prompts.prompts[code]) for code in prompts.languages}
    plain = encode(
        replace(prompts, prompts=bare),
        loaded.tokenizer,
        n_blocks=1,
        context=loaded.context,
        n_embeddings=loaded.n_embeddings,
    )
    joined = loaded.tokenizer([prompt.full_text for prompt in asked])["input_ids"]
    items = [_up_to_answer(item, ids, vocabulary) for item, ids in zip(plain.items, joined, strict=True)]
    over = next((item for item in items if len(item) > loaded.context), None)
    if over is not None:
        raise MeasurementError(
            f"Item {plain.describe(over)} and the space before its answer have {len(over)} tokens, the model's context is "
            f"{loaded.context}. Shorten or remove it; nothing is truncated."
        )
    if position == "last":
        read = [len(item) - 1 for item in items]
    else:
        read = _subject_tokens(loaded.tokenizer, asked, subjects or {})
    chosen = [replace(item, counted=_only(at, len(item))) for item, at in zip(items, read, strict=True)]
    clean = [ids[: len(item)] == list(item.ids) for item, ids in zip(items, joined, strict=True)]
    spaces = sum(vocabulary.is_blank(item.ids[at]) for item, at in zip(items, read, strict=True))
    shape = (len(prompts.languages), prompts.n_items)
    return ReadPrompts(replace(plain, items=tuple(chosen)), np.array(clean).reshape(shape).T, spaces)


def require_position(position: str) -> None:
    """Refuse a position that does not exist.

    Raises:
        ConfigError: Names the nearest.
    """
    if position not in POSITIONS:
        raise ConfigError(
            f"Unknown position '{position}'.{nearest(position, POSITIONS)} There is: {', '.join(POSITIONS)}."
        )


def _up_to_answer(item: EncodedItem, joined: Sequence[int], vocabulary: Vocabulary) -> EncodedItem:
    """The item without what the tokenizer adds at the end, and with the spaces that it makes tokens of."""
    end = len(item) - item.counted[::-1].index(True)
    ids = item.ids[:end]
    while tuple(joined[:end]) == ids and end < len(joined) and vocabulary.is_blank(joined[end]):
        end += 1
        ids = tuple(joined[:end])
    return replace(item, ids=ids)


def _subject_tokens(
    tokenizer: PreTrainedTokenizerBase, asked: Sequence[Prompt], subjects: Mapping[str, Mapping[str, str]]
) -> list[int]:
    """The last token of what each prompt is about, where it is named last."""
    found = []
    for prompt in asked:
        subject = subjects.get(prompt.language, {}).get(prompt.item_id, "")
        said = f"'{visible(prompt.item_id)}' in '{prompt.language}'"
        found.append(subject_tokens(tokenizer, prompt.text, subject, said)[1][-1])
    return found


def _only(at: int, length: int) -> tuple[bool, ...]:
    return tuple(i == at for i in range(length))
