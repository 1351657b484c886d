"""Entropy, in nats."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import special

__all__ = ["binary_entropy", "entropy"]


def entropy(weights: Float[np.ndarray, " category *unit"]) -> Float[np.ndarray, "*unit"]:
    """Shannon entropy over the first axis of non-negative weights, in nats (0 to log(n_categories)).

    The weights need not sum to one. NaN where they sum to zero.
    """
    total = weights.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, weights / total, np.nan)
    return special.entr(share).sum(axis=0)


def binary_entropy(rate: Float[np.ndarray, "*unit"]) -> Float[np.ndarray, "*unit"]:
    """Entropy of a yes/no event of the given rate, in nats (0 to log 2)."""
    return special.entr(rate) + special.entr(1.0 - rate)
