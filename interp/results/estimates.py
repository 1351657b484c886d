"""Mean estimates of patching, from their sums per language and block of facts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from interp.stats import known_mean, ratio

__all__ = ["mean_estimates"]


def mean_estimates(
    sums: Float[np.ndarray, "language block layer unit position"],
    counts: Int[np.ndarray, "language block position"],
) -> Float[np.ndarray, "layer unit position"]:
    """Mean over languages of the mean over pairs, of languages that have pairs; NaN where none has any."""
    total, n = sums.sum(axis=1, dtype=np.float64), counts.sum(axis=1)[:, None, None]
    means: np.ndarray = known_mean(ratio(total, n), axis=0)
    return means
