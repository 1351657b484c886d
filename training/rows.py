"""Prompts and answers as padded rows of which only the answers are labeled, and their log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int

from interp.errors import DataError

__all__ = ["labeled_rows", "sum_logps"]

_IGNORED = -100  # label of a token that is not learned


def labeled_rows(
    rows: Sequence[tuple[list[int], list[int]]], pad: int, context: int
) -> dict[str, list[list[int]]]:
    """Return ``input_ids``, ``labels`` and ``attention_mask`` of prompts with answers, padded on the right.

    Args:
        rows: Tokens of a prompt, and of its answer.
        pad: Padding token; it is masked.
        context: Longest row that the model reads.

    Raises:
        DataError: A prompt with its answer is longer than the context.
    """
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    if width > context:
        raise DataError(
            f"A prompt with its answer has {width} tokens; the model's context is {context}. Lower "
            "max_prompt_tokens."
        )
    batch: dict[str, list[list[int]]] = {"input_ids": [], "labels": [], "attention_mask": []}
    for prompt, answer in rows:
        empty = width - len(prompt) - len(answer)
        batch["input_ids"].append(prompt + answer + [pad] * empty)
        batch["labels"].append([_IGNORED] * len(prompt) + answer + [_IGNORED] * empty)
        batch["attention_mask"].append([1] * (width - empty) + [0] * empty)
    return batch


def sum_logps(
    model: Any, rows: Mapping[str, Int[torch.Tensor, "row token"]]
) -> tuple[Float[torch.Tensor, " row"], Int[torch.Tensor, " row"]]:
    """Return per row the summed log-probability, in nats, of the labeled tokens, and their number.

    Args:
        model: After `training.shared_prompts.share_prompts`.
        rows: What `labeled_rows` returns, as tensors.
    """
    inputs = {name: rows[name] for name in ("input_ids", "attention_mask", "labels")}
    logps = model(**inputs, fused_lm_head=True).log_probs
    return logps.sum(dim=1), (rows["labels"][:, 1:] != _IGNORED).sum(dim=1)
