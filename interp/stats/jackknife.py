"""The delete-one-block jackknife: a bias-corrected value, its standard error and interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from interp.stats.means import known_mean

if TYPE_CHECKING:
    Values = Any  # numpy turns an array without axes into a scalar, and no stub says when
else:
    Values = np.ndarray | np.floating

__all__ = ["Jackknife"]


@dataclass(frozen=True)
class Jackknife:
    """A statistic with its delete-one-block replicates: bias-corrected value, standard error, t interval.

    With B blocks, value = B * plug_in - (B - 1) * mean(replicates), which removes the 1/n bias of a plug-in
    entropy; the standard error is sqrt((B - 1) / B * sum((replicate - mean)^2)); the interval uses Student's
    t with B - 1 degrees of freedom. Blocks are groups of facts, so tokens of one fact never count as
    independent. Subtracting two jackknives over the *same* blocks gives the paired difference.

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

    def plug_in_interval(self, confidence: float = 0.95) -> tuple[Values, Values]:
        """An interval as wide around the plain statistic; NaN with fewer than 2 blocks."""
        if self.n_blocks < 2:
            nothing = np.full(np.shape(self.plug_in), np.nan)
            return nothing, nothing
        low, high = self.interval(confidence)
        return self.plug_in - (high - low) / 2, self.plug_in + (high - low) / 2

    def p_value(self) -> Values:
        """Two-sided p-value of the statistic being zero; 1 where it never varied and is zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.value) / self.standard_error
        never = (self.value == 0) & (self.standard_error == 0)
        return np.where(never, 1.0, 2 * stats.t.sf(t, self.n_blocks - 1))

    def __sub__(self, other: Jackknife) -> Jackknife:
        """Paired difference: both must stand on the same blocks in the same order."""
        if self.n_blocks != other.n_blocks:
            raise ValueError(f"cannot pair {self.n_blocks} blocks with {other.n_blocks}")
        return Jackknife(self.plug_in - other.plug_in, self.replicates - other.replicates)

    def known_mean(self) -> Jackknife:
        """The mean over the last axis of what is known in every replicate, with its own replicates; NaN where nothing is."""
        known = np.isfinite(self.plug_in) & np.isfinite(self.replicates).all(axis=0)
        if known.all():
            return self.mean()
        return Jackknife(
            known_mean(np.where(known, self.plug_in, np.nan), axis=-1),
            known_mean(np.where(known, self.replicates, np.nan), axis=-1),
        )

    def mean(self, weights: np.ndarray | None = None) -> Jackknife:
        """The (weighted) mean over the last axis, with its own replicates."""
        return Jackknife(
            np.average(self.plug_in, axis=-1, weights=weights),
            np.average(self.replicates, axis=-1, weights=weights),
        )
