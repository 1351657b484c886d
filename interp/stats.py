"""Intervals, entropy and multiple testing (numpy / scipy): the one home of statistical formulas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import special, stats

if TYPE_CHECKING:
    Values = Any  # numpy turns an array without axes into a scalar, and no stub says when
else:
    Values = np.ndarray | np.floating

__all__ = ["Jackknife", "binary_entropy", "entropy", "fdr_adjust", "jaccard"]


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


@dataclass(frozen=True)
class Jackknife:
    """A statistic with its delete-one-block replicates: bias-corrected value, standard error, t interval.

    With B blocks, value = B * plug_in - (B - 1) * mean(replicates), which removes the 1/n bias of a plug-in
    entropy; the standard error is sqrt((B - 1) / B * sum((replicate - mean)^2)); the interval uses Student's t with
    B - 1 degrees of freedom. Blocks are groups of facts, so tokens of one fact never count as independent.
    Subtracting two jackknives over the *same* blocks gives the paired difference.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 11.

    Attributes:
        plug_in: The statistic on all blocks, any shape.
        replicates: The statistic without block b, ``[block, *shape]``.
    """

    plug_in: Values
    replicates: np.ndarray

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.replicates)

    @property
    def value(self) -> Values:
        """The bias-corrected statistic."""
        return self.n_blocks * self.plug_in - (self.n_blocks - 1) * self.replicates.mean(axis=0)

    @property
    def standard_error(self) -> Values:
        """Standard error over blocks."""
        spread = ((self.replicates - self.replicates.mean(axis=0)) ** 2).sum(axis=0)
        return np.sqrt((self.n_blocks - 1) / self.n_blocks * spread)

    def interval(self, confidence: float = 0.95) -> tuple[Values, Values]:
        """Two-sided interval of the given confidence."""
        half = stats.t.ppf(0.5 + confidence / 2, self.n_blocks - 1) * self.standard_error
        return self.value - half, self.value + half

    def p_value(self) -> Values:
        """Two-sided p-value of the hypothesis that the statistic is zero; 1 where it never varied and is zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.value) / self.standard_error
        return np.where(np.isnan(t), 1.0, 2 * stats.t.sf(t, self.n_blocks - 1))

    def __sub__(self, other: Jackknife) -> Jackknife:
        """Paired difference: both must stand on the same blocks in the same order."""
        if self.n_blocks != other.n_blocks:
            raise ValueError(f"cannot pair {self.n_blocks} blocks with {other.n_blocks}")
        return Jackknife(self.plug_in - other.plug_in, self.replicates - other.replicates)

    def mean(self, weights: np.ndarray | None = None) -> Jackknife:
        """The (weighted) mean over the last axis, with its own replicates."""
        return Jackknife(
            np.average(self.plug_in, axis=-1, weights=weights),
            np.average(self.replicates, axis=-1, weights=weights),
        )


def fdr_adjust(p_values: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Benjamini-Hochberg adjusted p-values (scipy)."""
    return stats.false_discovery_control(p_values)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """|A and B| / |A or B| of two boolean masks or index arrays; NaN if both are empty.

    Index arrays are taken as sets; masks must have the same shape.
    """
    if a.dtype == bool and b.dtype == bool:
        union = np.logical_or(a, b).sum()
        return float(np.logical_and(a, b).sum() / union) if union else float("nan")
    union = np.union1d(a, b).size
    return float(np.intersect1d(a, b).size / union) if union else float("nan")
