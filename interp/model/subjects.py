"""Which tokens of a text name its subject."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from interp.data.characters import visible
from interp.errors import CapabilityError, MeasurementError

__all__ = ["subject_tokens"]


def subject_tokens(
    tokenizer: PreTrainedTokenizerBase, text: str, subject: str, said: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens of a text, and the positions of those that hold a character of the subject, at its last mention.

    A token that holds the end of the subject and more counts, so in a language without spaces the subject's last token
    may reach into the word after it.

    Raises:
        CapabilityError: The tokenizer does not know which characters a token stands for.
        MeasurementError: The text does not mention the subject, or no token holds any of it.
    """
    if not tokenizer.is_fast:
        raise CapabilityError(
            f"{type(tokenizer).__name__} does not say which characters a token stands for, so a subject cannot be found. "
            "Use a fast tokenizer."
        )
    start = text.rfind(subject) if subject else -1
    if start < 0:
        raise MeasurementError(
            f"{said}: the question does not mention its subject '{visible(subject)}' as it is written ('{visible(text)}'), "
            "so the subject's tokens are unknown. Correct the wording, or ask for the last token of the prompt only."
        )
    found: Any = tokenizer(text, return_offsets_mapping=True)
    end = start + len(subject)
    held = tuple(i for i, (a, b) in enumerate(found["offset_mapping"]) if a < end and b > start and a < b)
    if not held:
        raise MeasurementError(
            f"{said}: no token holds any of the subject '{visible(subject)}'. Correct the wording, or check the tokenizer."
        )
    return tuple(found["input_ids"]), held
