"""Adjusted p-values of several tests; a test without a p (NaN) has none, and does not count."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

__all__ = ["ALPHA", "Family", "family_wise", "fdr_adjust", "holm"]

ALPHA = 0.05
"""Chance of even one false finding in a family."""


def holm(
    p_values: Float[np.ndarray, "*test"], weights: Float[np.ndarray, "*test"] | None = None
) -> Float[np.ndarray, "*test"]:
    """Holm's adjusted p-values, which bound the chance of even one false positive under any dependence.

    Of m tests the i-th smallest (from 0) becomes max over k <= i of (m - k) * p_k, at most 1; equal p stay
    equal. With weights, tests are ordered by p / weight, and m - k becomes the weights that are left over the
    test's own.

    Args:
        p_values: Of any shape.
        weights: How much of the error rate each test is given, above 0; alike by default.

    Source: Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    known = ~np.isnan(p_values)
    flat = p_values[known]
    share = np.ones(len(flat)) if weights is None else weights[known]
    order = np.argsort(flat / share, kind="stable")
    left = np.cumsum(share[order][::-1])[::-1]
    steps = np.maximum.accumulate(flat[order] * left / share[order])
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
        levels: What a test of each member is tested at when it is the first, so that a finding at that level
            is one of the family at `ALPHA`; NaN of a family without tests.
    """

    name: str
    n: int
    adjusted: Mapping[str, np.ndarray]
    levels: Mapping[str, float]

    def __repr__(self) -> str:
        least = min((np.nanmin(p) for p in self.adjusted.values() if not np.isnan(p).all()), default=np.nan)
        return f"Holm's correction over {self.n} tests ({self.name}); least p {least:.3g}"


def family_wise(
    p_values: Mapping[str, Float[np.ndarray, ...]], name: str, *, main: Collection[str] = ()
) -> Family:
    """Correct everything that was looked at together, not table by table (Holm).

    Args:
        p_values: By member, such as a checkpoint or a table; of any shape, NaN where there is no test.
        name: Of the family, in words, for whoever reads the p.
        main: Members that the family is about: all of them share one half of the error rate, and all other
            members the other half, so that many details do not hide the answer. Without, or where only one
            side has tests, all tests are alike.
    """
    parts = {member: np.asarray(p, dtype=float) for member, p in p_values.items()}
    known = {member: int((~np.isnan(p)).sum()) for member, p in parts.items()}
    sides = {
        side: sum(n for member, n in known.items() if (member in main) == side) for side in (True, False)
    }
    n = sum(sides.values())
    both = all(sides.values())
    weight = {m: 1 / (2 * sides[m in main]) if both else 1 / max(n, 1) for m in parts}
    every = np.concatenate([p.ravel() for p in parts.values()]) if parts else np.zeros(0)
    weights = np.concatenate([np.full(p.size, weight[m]) for m, p in parts.items()]) if parts else every
    ends = np.cumsum([p.size for p in parts.values()])[:-1]
    pieces = np.split(holm(every, weights), ends)
    adjusted = {m: piece.reshape(p.shape) for (m, p), piece in zip(parts.items(), pieces, strict=False)}
    return Family(name, n, adjusted, {m: ALPHA * w if n else float("nan") for m, w in weight.items()})
