"""Prompts and answers as padded rows of which only the answers are labeled."""

from __future__ import annotations

from collections.abc import Sequence

from interp.errors import DataError

__all__ = ["IGNORED", "labeled_rows"]

IGNORED = -100
"""The label of a token that is not learned."""


def labeled_rows(
    rows: Sequence[tuple[list[int], list[int]]], pad: int, context: int
) -> dict[str, list[list[int]]]:
    """Return ``input_ids``, ``labels`` and ``attention_mask`` of prompts with their answers, padded on the right.

    Args:
        rows: Tokens of a prompt, and of its answer.
        pad: The token that fills a row; it is masked.
        context: Longest row that the model reads.

    Raises:
        DataError: A prompt with its answer is longer than the context.
    """
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    if width > context:
        raise DataError(
            f"A prompt with its answer has {width} tokens; the model's context is {context}. Lower max_prompt_tokens."
        )
    batch: dict[str, list[list[int]]] = {"input_ids": [], "labels": [], "attention_mask": []}
    for prompt, answer in rows:
        empty = width - len(prompt) - len(answer)
        batch["input_ids"].append(prompt + answer + [pad] * empty)
        batch["labels"].append([IGNORED] * len(prompt) + answer + [IGNORED] * empty)
        batch["attention_mask"].append([1] * (width - empty) + [0] * empty)
    return batch
