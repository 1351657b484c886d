"""Intervals, entropy and multiple testing (numpy / scipy): the one home of statistical formulas."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import special, stats

if TYPE_CHECKING:
    Values = Any  # numpy turns an array without axes into a scalar, and no stub says when
else:
    Values = np.ndarray | np.floating

__all__ = [
    "Jackknife",
    "PairedBootstrap",
    "binary_entropy",
    "entropy",
    "fdr_adjust",
    "holm",
    "jaccard",
    "paired_bootstrap",
    "wilson",
]

_CHUNK = (
    2**22
)  # indices drawn at a time (32 MiB): a bootstrap over thousands of facts must not fill the memory


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


@dataclass(frozen=True)
class PairedBootstrap:
    """The difference of two means over the same facts, with its bootstrap interval and p-values.

    Attributes:
        difference: mean(a) - mean(b), in the unit of the values.
        low: Lower end of the percentile interval.
        high: Upper end of the percentile interval.
        p: Two-sided p-value, 2 * (b + 1) / (draws + 1) and at most 1, where b is the smaller of the numbers of
            resampled differences <= 0 and >= 0. Never 0: its least value is 2 / (draws + 1).
        published_p: As the PolyFact repository computes it: 2 * min(share <= 0, share >= 0), not below 1 / draws
            (and here at most 1).
        n: Facts.
        n_clusters: Units resampled: facts, or answer entities.
        draws: Resamples.
    """

    difference: float
    low: float
    high: float
    p: float
    published_p: float
    n: int
    n_clusters: int
    draws: int


def paired_bootstrap(
    a: Float[np.ndarray, " fact"],
    b: Float[np.ndarray, " fact"],
    *,
    draws: int = 10_000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> PairedBootstrap:
    """Compare two models by a quantity per fact, resampling facts: mean(a) - mean(b), a percentile interval and p.

    Both models get the same resamples, ``default_rng(seed).integers(0, n, (draws, n))``, so what they share cancels,
    and all languages of a fact stay together. With ``groups``, a label per fact such as its answer entity, whole groups
    are resampled: the facts of one answer are not independent, and the interval is as wide as that makes it. A
    resampled difference within rounding error of zero counts on both sides. The last digits depend on the order of the
    facts, as on the seed: sort them by id.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapters 13 and 16; the (b + 1) / (B + 1) of
    Davison & Hinkley (1997), section 4.2.

    Raises:
        ValueError: There is not one label per fact, there are no facts, or a difference is not finite.
    """
    if groups is not None and len(groups) != len(a):
        raise ValueError(f"{len(groups)} labels for {len(a)} facts")
    gain = a - b
    if not len(gain) or not np.isfinite(gain).all():
        raise ValueError(
            f"{np.sum(~np.isfinite(gain))} of {len(gain)} paired facts are not finite; leave them out"
        )
    codes = np.arange(len(gain)) if groups is None else _codes(groups)
    total, size = np.bincount(codes, weights=gain), np.bincount(codes)
    rng, step = np.random.default_rng(seed), max(1, _CHUNK // len(total))
    parts = []
    for start in range(0, draws, step):
        index = rng.integers(0, len(total), (min(step, draws - start), len(total)))
        parts.append(total[index].sum(axis=1) / size[index].sum(axis=1))
    found = np.concatenate(parts)
    found[np.abs(found) <= 1e-12 * np.abs(gain).max()] = 0.0
    low, high = np.quantile(found, [0.5 - confidence / 2, 0.5 + confidence / 2])
    beyond = int(min((found <= 0).sum(), (found >= 0).sum()))
    return PairedBootstrap(
        difference=float(gain.mean()),
        low=float(low),
        high=float(high),
        p=min(1.0, 2 * (beyond + 1) / (draws + 1)),
        published_p=min(1.0, max(2 * beyond, 1) / draws),
        n=len(gain),
        n_clusters=len(total),
        draws=draws,
    )


def _codes(labels: Sequence[Hashable]) -> np.ndarray:
    """A number per label, in order of first appearance."""
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return np.array([number[label] for label in labels])


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share, ``correct`` of ``n`` independent trials (scipy); within 0 to 1 at any count."""
    low, high = stats.binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


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


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """|A and B| / |A or B| of two boolean masks or index arrays; NaN if both are empty.

    Index arrays are taken as sets; masks must have the same shape.
    """
    if a.dtype == bool and b.dtype == bool:
        union = np.logical_or(a, b).sum()
        return float(np.logical_and(a, b).sum() / union) if union else float("nan")
    union = np.union1d(a, b).size
    return float(np.intersect1d(a, b).size / union) if union else float("nan")
