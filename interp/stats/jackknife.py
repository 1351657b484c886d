"""The delete-one-block jackknife: a bias-corrected value, its standard error and interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from interp.stats.estimate import half_width
from interp.stats.means import ratio
from interp.stats.power import mde

if TYPE_CHECKING:
    Values = Any  # numpy turns an array without axes into a scalar, and no stub says when
else:
    Values = np.ndarray | np.floating

__all__ = ["Jackknife", "Noise"]

_ROUNDING = 1e-12  # of the largest replicate
_LARGEST = float(stats.norm.ppf(0.975))  # of 95 % of normal values, in standard errors


@dataclass(frozen=True)
class Noise:
    """What the size of a statistic stays below in 95 % of texts where it is truly zero, in its unit.

    Attributes:
        value: As likely too high as too low.
        low: Lower end of its own 95 % interval: of few blocks the noise is itself uncertain.
        high: Upper end.
    """

    value: Values
    low: Values
    high: Values


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
        apart = self.replicates - self.replicates.mean(axis=0)
        apart = np.where(np.abs(apart) <= _ROUNDING * np.abs(self.replicates).max(axis=0), 0.0, apart)
        spread = (apart**2).sum(axis=0)
        return np.sqrt((self.n_blocks - 1) / self.n_blocks * spread)

    def interval(self, confidence: float = 0.95) -> tuple[Values, Values]:
        """Two-sided interval of the given confidence; NaN where no two blocks differ."""
        half = half_width(self.standard_error, self.n_blocks - 1, confidence)
        return self.value - half, self.value + half

    def plug_in_interval(self, confidence: float = 0.95) -> tuple[Values, Values]:
        """An interval as wide around the plain statistic; NaN with fewer than 2 blocks."""
        if self.n_blocks < 2:
            nothing = np.full(np.shape(self.plug_in), np.nan)
            return nothing, nothing
        low, high = self.interval(confidence)
        return self.plug_in - (high - low) / 2, self.plug_in + (high - low) / 2

    def p_value(self) -> Values:
        """Two-sided p-value of being zero; without spread 1 of zero, else that of equal signs."""
        error = self.standard_error
        p = 2 * stats.t.sf(np.abs(ratio(self.value, error)), self.n_blocks - 1)
        never = np.where(self.value == 0, 1.0, 2.0 ** (1 - self.n_blocks))
        return np.where(error == 0, never, p)

    def noise(self, texts: int = 1) -> Noise:
        """How large the statistic would be if it were truly zero, or differed between texts by chance alone.

        1.96 standard errors, of two texts times the root of 2, divided by the median of a standard error from
        so few blocks relative to the true one, which is a chi variable over the root of its degrees of
        freedom. From 4 blocks the interval is .50 to 3.31 times the value, from 8 .63 to 1.94 times.

        Args:
            texts: 1 for the statistic on one text (a paired difference), 2 for its difference between two
                independent texts of this size.
        """
        df = self.n_blocks - 1
        if df < 1:
            nothing = np.full(np.shape(self.plug_in), np.nan)[()]
            return Noise(nothing, nothing, nothing)
        middle, low, high = np.sqrt(df / stats.chi2.ppf([0.5, 0.975, 0.025], df))
        largest = _LARGEST * np.sqrt(texts) * self.standard_error
        return Noise(largest * middle, largest * low, largest * high)

    def mde(self, power: float = 0.8, alpha: float = 0.05) -> Values:
        """The smallest value that would have been told from zero: see `interp.stats.mde`."""
        return mde(self.standard_error, self.n_blocks - 1, power, alpha)

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
