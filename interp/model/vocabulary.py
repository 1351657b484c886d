"""What is read of logits over a large vocabulary, in pieces: they never exist for all tokens at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch.utils.checkpoint import checkpoint

__all__ = [
    "LOGITS_AT_A_TIME",
    "TokenScores",
    "from_logits",
    "log_probabilities",
    "rows_at_a_time",
    "token_scores",
]

LOGITS_AT_A_TIME = 2**24
"""Entries, 64 MB in float32."""

Unembed = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TokenScores:
    """What a model makes of some tokens, each with the distribution that it was one of.

    Attributes:
        logp: Log-probability of the token, in nats; the only one through which gradients flow.
        entropy: Of the distribution, in nats.
        mean_logit: Mean over the vocabulary.
        is_top: Whether no other token is more probable.
    """

    logp: Float[torch.Tensor, " token"]
    entropy: Float[torch.Tensor, " token"]
    mean_logit: Float[torch.Tensor, " token"]
    is_top: Bool[torch.Tensor, " token"]


def rows_at_a_time(hidden: Float[torch.Tensor, "row model"], unembed: Unembed) -> int:
    """How many rows have at most `LOGITS_AT_A_TIME` logits; at least one."""
    with torch.no_grad():
        vocabulary = unembed(hidden[:1]).shape[-1] if len(hidden) else 1
    return max(1, LOGITS_AT_A_TIME // vocabulary)


def from_logits(
    hidden: Float[torch.Tensor, "row model"],
    unembed: Unembed,
    read: Callable[..., torch.Tensor],
    *given: torch.Tensor,
) -> torch.Tensor:
    """Return ``read(logits, *given)`` of all rows, differentiable by ``hidden``.

    Where the logits are too many to exist at once, it is called with those of some rows at a time, which the
    backward pass computes anew.

    Args:
        hidden: Normed final hidden states.
        unembed: Gives logits; not trained.
        read: Of logits ``[row, vocab]`` in float32, and of ``given``, something whose first axis is the row.
        given: What else is known of each row.
    """

    def piece(states: torch.Tensor, *theirs: torch.Tensor) -> torch.Tensor:
        logits = unembed(states).float()  # on the unembedding's device when a model is spread
        return read(logits, *(each.to(logits.device) for each in theirs))

    rows = rows_at_a_time(hidden, unembed)
    if len(hidden) <= rows:
        return piece(hidden, *given)
    graded = torch.is_grad_enabled() and hidden.requires_grad
    parts = zip(*(each.split(rows) for each in (hidden, *given)), strict=True)
    return torch.cat(
        [checkpoint(piece, *part, use_reentrant=False) if graded else piece(*part) for part in parts]
    )


def log_probabilities(
    logits: Float[torch.Tensor, "row vocab"], ids: Int[torch.Tensor, "row token"]
) -> Float[torch.Tensor, "row token"]:
    """Of some tokens of each row, in nats."""
    return logits.log_softmax(dim=-1).gather(1, ids)


def token_scores(
    hidden: Float[torch.Tensor, "token model"],
    targets: Int[torch.Tensor, " token"],
    unembed: Unembed,
    *,
    temperature: float = 1.0,
    trained: bool = False,
) -> TokenScores:
    """Score tokens, from a log-softmax in float32.

    Where all logits are few, they are kept for the backward pass. Otherwise a piece at a time exists: with an
    unembedding that is not trained, the gradient of each log-probability by its hidden state is computed in
    the forward pass and scaled in the backward pass; with one that is, the pieces are computed anew.

    Args:
        hidden: Normed final hidden states from which the tokens are predicted.
        targets: The tokens.
        unembed: Gives logits.
        temperature: Divides logits.
        trained: Whether gradients go to what is inside ``unembed``.
    """

    def piece(states: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits = unembed(states).float()
        if temperature != 1:
            logits = logits / temperature
        logps = logits.log_softmax(dim=-1)
        picked = logps.gather(1, ids.to(logps.device)[:, None])[:, 0]
        with torch.no_grad():
            entropy = -torch.linalg.vecdot(logps.exp(), logps)
            mean, top = logits.mean(dim=-1), logps.amax(dim=-1) <= picked
        return picked, entropy, mean, top

    graded = torch.is_grad_enabled() and (hidden.requires_grad or trained)
    rows = rows_at_a_time(hidden, unembed)
    if len(hidden) <= rows:
        return TokenScores(*piece(hidden, targets))
    if graded and not trained:
        return TokenScores(*_FrozenUnembedding.apply(hidden, targets, piece, rows))
    parts = [
        checkpoint(piece, states, ids, use_reentrant=False) if graded else piece(states, ids)
        for states, ids in zip(hidden.split(rows), targets.split(rows), strict=True)
    ]
    return TokenScores(*(torch.cat(values) for values in zip(*parts, strict=True)))


class _FrozenUnembedding(torch.autograd.Function):
    """Scores whose gradient by each hidden state is known once its logits are, and only scaled later."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, targets: torch.Tensor, piece: Any, rows: int
    ) -> tuple[torch.Tensor, ...]:
        parts, gradients = [], []
        for states, ids in zip(hidden.split(rows), targets.split(rows), strict=True):
            with torch.enable_grad():
                leaf = states.detach().requires_grad_()
                picked, *rest = piece(leaf, ids)
                gradients += torch.autograd.grad(picked.sum(), leaf)
            parts.append((picked.detach(), *rest))
        ctx.save_for_backward(torch.cat(gradients))
        values = tuple(torch.cat(value) for value in zip(*parts, strict=True))
        ctx.mark_non_differentiable(*values[1:])
        return values

    @staticmethod
    def backward(ctx: Any, *given: Any) -> tuple[torch.Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return (given[0][:, None] * gradient).to(gradient.dtype), None, None, None
