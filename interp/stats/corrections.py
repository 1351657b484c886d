"""Adjusted p-values of several tests; a test without a p (NaN) has none, and does not count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

__all__ = ["Family", "family_wise", "fdr_adjust", "holm"]


def holm(p_values: Float[np.ndarray, "*test"]) -> Float[np.ndarray, "*test"]:
    """Holm's adjusted p-values, which bound the chance of even one false positive under any dependence.

    Of m tests the i-th smallest (from 0) becomes max over k <= i of (m - k) * p_k, at most 1; equal p stay
    equal.

    Source: Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    known = ~np.isnan(p_values)
    flat = p_values[known]
    order = np.argsort(flat, kind="stable")
    steps = np.maximum.accumulate(flat[order] * np.arange(len(flat), 0, -1))
    adjusted = np.full(p_values.shape, np.nan)
    adjusted[known] = np.minimum(steps, 1.0)[np.argsort(order, kind="stable")]
    return adjusted


def fdr_adjust(p_values: Float[np.ndarray, "*test"]) -> Float[np.ndarray, "*test"]:
    """Benjamini-Hochberg adjusted p-values (scipy)."""
    known = ~np.isnan(p_values)
    adjusted = np.full(p_values.shape, np.nan)
    if known.any():
        adjusted[known] = stats.false_discovery_control(p_values[known])
    return adjusted


@dataclass(frozen=True)
class Family:
    """p-values corrected together.

    Attributes:
        name: What was looked at, in words: "15 changes: 5 checkpoints x 3 quantities".
        n: Tests that have a p.
        adjusted: Holm's p by member of the family, in the shape of the p-values that were given.
    """

    name: str
    n: int
    adjusted: Mapping[str, np.ndarray]

    def __repr__(self) -> str:
        least = min((np.nanmin(p) for p in self.adjusted.values() if not np.isnan(p).all()), default=np.nan)
        return f"Holm's correction over {self.n} tests ({self.name}); least p {least:.3g}"


def family_wise(p_values: Mapping[str, Float[np.ndarray, ...]], name: str) -> Family:
    """Correct everything that was looked at together, not table by table (Holm).

    Args:
        p_values: By member, such as a checkpoint or a table; of any shape, NaN where there is no test.
        name: Of the family, in words, for whoever reads the p.
    """
    parts = {member: np.asarray(p, dtype=float) for member, p in p_values.items()}
    every = np.concatenate([p.ravel() for p in parts.values()]) if parts else np.zeros(0)
    ends = np.cumsum([p.size for p in parts.values()])[:-1]
    pieces = np.split(holm(every), ends)
    adjusted = {m: piece.reshape(p.shape) for (m, p), piece in zip(parts.items(), pieces, strict=False)}
    return Family(name, int((~np.isnan(every)).sum()), adjusted)
