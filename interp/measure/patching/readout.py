"""The metrics of a run, from its final hidden states: one row per prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float

from interp.measure.patching.positions import ScoredPrompt
from interp.model.loading import LoadedModel
from interp.model.vocabulary import from_logits, log_probabilities

__all__ = ["readout"]


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
    device = hidden.device
    last = torch.tensor([len(p.ids) - 1 - offset for p in prompts], device=device)
    first = from_logits(
        hidden[torch.arange(len(prompts), device=device), last],
        loaded.architecture.unembed,
        _of_first,
        torch.tensor([p.answer[0] for p in prompts]),
        torch.tensor([p.distractor for p in prompts]),
        torch.tensor([p.first for p in prompts], dtype=torch.long),
    )
    whole = first[:, 1] + _rest(loaded, hidden, prompts, offset).to(first.device)
    return torch.cat([first[:, :1], whole.unsqueeze(1), first[:, 2:]], dim=1)


def _of_first(
    logits: torch.Tensor, gold: torch.Tensor, against: torch.Tensor, names: torch.Tensor
) -> torch.Tensor:
    """Logit difference, log-probability and probability of first tokens, and the names' probabilities."""
    logged = logits.log_softmax(dim=-1)
    right, wrong = gold.unsqueeze(1), against.unsqueeze(1)
    first = logged.gather(1, right)
    by_language = logged.gather(1, names.clamp(min=0)).exp().masked_fill(names < 0, torch.nan)
    return torch.cat(
        [logits.gather(1, right) - logits.gather(1, wrong), first, first.exp(), by_language], dim=1
    )


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
    each = from_logits(hidden[rows, at], loaded.architecture.unembed, log_probabilities, ids[:, None])[:, 0]
    return total.to(each.device).index_add(0, rows.to(each.device), each)
