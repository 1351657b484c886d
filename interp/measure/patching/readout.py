"""The metrics of a run, from its final hidden states: one row per prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int

from interp.measure.patching.positions import ScoredPrompt
from interp.model.loading import LoadedModel

__all__ = ["readout"]

_ROWS = 128  # rows unembedded at a time: the logits of a large vocabulary never exist all at once


def readout(
    loaded: LoadedModel,
    hidden: Float[torch.Tensor, "row token model"],
    prompts: Sequence[ScoredPrompt],
    offset: int = 0,
) -> Float[torch.Tensor, "row metric"]:
    """Return the metrics of each row, in float32 and differentiable.

    In this order: the logit of the answer's first token minus the distractor's; the log-probability of the
    whole answer (nats, sum over its tokens); the probability of its first token; and the probability of the
    first token of its name in each language (NaN where it cannot be told apart).

    Args:
        loaded: The model.
        hidden: Final hidden states of rows that read `ScoredPrompt.tokens`, padded on the right.
        prompts: What each row is scored on.
        offset: Position of the first hidden state.
    """
    starts = range(0, len(prompts), _ROWS)
    parts = [(hidden[i : i + _ROWS], prompts[i : i + _ROWS]) for i in starts]
    return torch.cat([_some(loaded, states, rows, offset) for states, rows in parts])


def _some(
    loaded: LoadedModel, hidden: torch.Tensor, prompts: Sequence[ScoredPrompt], offset: int
) -> Float[torch.Tensor, "row metric"]:
    device = hidden.device
    last = torch.tensor([len(p.ids) - 1 - offset for p in prompts], device=device)
    logits = loaded.architecture.unembed(hidden[torch.arange(len(prompts), device=device), last]).float()
    logged = logits.log_softmax(dim=-1)
    gold = _column([p.answer[0] for p in prompts], logits)
    against = _column([p.distractor for p in prompts], logits)
    first = logged.gather(1, gold)
    whole = first.squeeze(1) + _rest(loaded, hidden, prompts, offset).to(first.device)
    names = torch.tensor([p.first for p in prompts], dtype=torch.long, device=logits.device)
    by_language = logged.gather(1, names.clamp(min=0)).exp().masked_fill(names < 0, torch.nan)
    difference = logits.gather(1, gold) - logits.gather(1, against)
    return torch.cat([difference, whole.unsqueeze(1), first.exp(), by_language], dim=1)


def _rest(
    loaded: LoadedModel, hidden: torch.Tensor, prompts: Sequence[ScoredPrompt], offset: int
) -> Float[torch.Tensor, " row"]:
    """Log-probability of the answers' tokens after the first."""
    total = torch.zeros(len(prompts), device=hidden.device)
    later = [
        (row, len(prompt.ids) - 1 + place - offset, token)
        for row, prompt in enumerate(prompts)
        for place, token in enumerate(prompt.answer)
        if place > 0
    ]
    if not later:
        return total
    rows, at, ids = torch.tensor(later, device=hidden.device).T
    logged = loaded.architecture.unembed(hidden[rows, at]).float().log_softmax(dim=-1)
    each = logged.gather(1, ids.to(logged.device).unsqueeze(1)).squeeze(1)
    return total.to(each.device).index_add(0, rows.to(each.device), each)


def _column(ids: Sequence[int], logits: torch.Tensor) -> Int[torch.Tensor, "row 1"]:
    return torch.tensor(ids, device=logits.device).unsqueeze(1)
