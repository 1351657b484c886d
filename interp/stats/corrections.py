"""Adjusted p-values of several tests."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import stats

__all__ = ["fdr_adjust", "holm"]


def holm(p_values: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Holm's adjusted p-values, which bound the chance of even one false positive under any dependence.

    Of m tests the i-th smallest (from 0) becomes max over k <= i of (m - k) * p_k, at most 1.

    Source: Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(steps)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def fdr_adjust(p_values: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Benjamini-Hochberg adjusted p-values (scipy)."""
    return stats.false_discovery_control(p_values)
