"""Mean estimates of patching, from their sums per language and block of facts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from interp.stats import ratio

__all__ = ["mean_estimates"]


def mean_estimates(
    sums: Float[np.ndarray, "language block layer unit position"],
    counts: Int[np.ndarray, "language block position"],
) -> Float[np.ndarray, "layer unit position"]:
    """Mean over languages of the mean over pairs; a language without pairs has no part in it. NaN where none has any."""
    n = counts.sum(axis=1)
    weights = ratio(np.ones(n.shape), n * (n > 0).sum(axis=0))
    total = sums.sum(axis=1, dtype=np.float64)
    found: np.ndarray = np.einsum("alup,ap->lup", total, np.nan_to_num(weights))
    return np.where((n > 0).any(axis=0), found, np.nan)
