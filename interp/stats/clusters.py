"""Clusters of facts that are not independent: sums, and the variance and degrees of freedom they leave."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.stats.means import ratio

__all__ = [
    "HALF_ALIKE",
    "ClusterTotals",
    "cluster_codes",
    "cluster_totals",
    "satterthwaite_df",
    "variance_of_mean",
]

HALF_ALIKE = 0.5
"""Correlation within clusters that is assumed of an event that was seen too rarely to tell."""


def cluster_codes(labels: Sequence[Hashable]) -> Int[np.ndarray, " fact"]:
    """A number per label, from 0 in order of first appearance."""
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return np.array([number[label] for label in labels], dtype=np.int64)


@dataclass(frozen=True)
class ClusterTotals:
    """Sums over the facts of each cluster; clusters without any known value are left out.

    Attributes:
        sums: One array per quantity.
        counts: Facts that have a value.
        scales: Largest size of a value of each quantity; what is 1e-12 of it is rounding error.
    """

    sums: tuple[Float[np.ndarray, "cluster cell"], ...]
    counts: Float[np.ndarray, "cluster cell"]
    scales: tuple[Float[np.ndarray, " cell"], ...]

    @property
    def n(self) -> Float[np.ndarray, " cell"]:
        """Facts that have a value."""
        return self.counts.sum(axis=0)

    @property
    def n_clusters(self) -> Int[np.ndarray, " cell"]:
        """Clusters that have such a fact."""
        return (self.counts > 0).sum(axis=0)

    @property
    def weights(self) -> Float[np.ndarray, "cluster cell"]:
        """Each cluster's share of the facts; NaN in a cell without any."""
        return ratio(self.counts, self.n)

    @property
    def means(self) -> tuple[Float[np.ndarray, " cell"], ...]:
        """Mean over facts of each quantity; NaN in a cell without any."""
        means = (ratio(total.sum(axis=0), self.n) for total in self.sums)
        return tuple(_exact(mean, scale) for mean, scale in zip(means, self.scales, strict=True))

    @property
    def residuals(self) -> tuple[Float[np.ndarray, "cluster cell"], ...]:
        """Each cluster's sum minus its number of facts times the mean; 0 where that is rounding error."""
        parts = zip(self.sums, self.means, self.scales, strict=True)
        return tuple(_exact(total - self.counts * mean, scale) for total, mean, scale in parts)

    @property
    def event_variance(self) -> Float[np.ndarray, " cell"]:
        """What one event more adds to the variance of a sum: 1 of single facts, more of large clusters.

        1 + (m - 1) / 2, the design effect of clusters whose facts are half alike; m is the number of facts in
        the cluster of a fact, on average.
        """
        return 1 + ((self.counts**2).sum(axis=0) / np.maximum(self.n, 1) - 1) * HALF_ALIKE


def cluster_totals(
    parts: Sequence[Float[np.ndarray, "fact cell"]], labels: Sequence[Hashable] | None
) -> ClusterTotals:
    """Sum quantities over clusters. A fact counts in a cell where all quantities have a value there.

    Args:
        parts: Quantities.
        labels: Of each fact, its cluster; without, every fact is a cluster.

    Raises:
        ValueError: There is not one label per fact.
    """
    if labels is not None and len(labels) != len(parts[0]):
        raise ValueError(f"{len(labels)} labels for {len(parts[0])} facts")
    codes = np.arange(len(parts[0])) if labels is None else cluster_codes(labels)
    known = ~np.any(np.isnan(parts), axis=0)
    filled = [np.where(known, part, 0) for part in parts]
    return ClusterTotals(
        tuple(_grouped(part, codes, known) for part in filled),
        _grouped(known, codes, known),
        tuple(np.abs(part).max(axis=0, initial=0) for part in filled),
    )


def _exact(values: np.ndarray, scale: Float[np.ndarray, " cell"]) -> np.ndarray:
    return np.where(np.abs(values) <= 1e-12 * scale, 0.0, values)


def _grouped(
    values: np.ndarray, codes: Int[np.ndarray, " fact"], known: Bool[np.ndarray, "fact cell"]
) -> Float[np.ndarray, "cluster cell"]:
    here = known.any(axis=1)
    order = np.argsort(codes[here], kind="stable")
    _, starts = np.unique(codes[here][order], return_index=True)
    if not len(starts):
        return np.zeros((0, values.shape[1]))
    return np.add.reduceat(values[here][order].astype(np.float64), starts, axis=0)


def variance_of_mean(
    one: Float[np.ndarray, "cluster cell"], other: Float[np.ndarray, "cluster cell"], totals: ClusterTotals
) -> Float[np.ndarray, " cell"]:
    """Covariance of two means from their clusters' residuals: CR2, sum over clusters of r s / (1 - w) / n^2.

    w is the cluster's share of the facts. Unbiased where facts are independent, whatever the clusters' sizes;
    clusters of one fact give the textbook's variance. NaN with fewer than 2 clusters.

    Source: Bell & McCaffrey (2002), Bias Reduction in Standard Errors for Linear Regression with Multi-Stage
    Samples.
    """
    summed = ratio(one * other, 1 - totals.weights).sum(axis=0)
    return np.where(totals.n_clusters < 2, np.nan, ratio(summed, totals.n**2))


def satterthwaite_df(weights: Float[np.ndarray, "cluster cell"]) -> Float[np.ndarray, " cell"]:
    """Degrees of freedom of `variance_of_mean`: clusters - 1 where they are equally large, else fewer.

    With a = 1 / (1 - w): 1 / (sum a^2 w^2 (1 - 2 w) + (sum a w^2)^2), which matches the variance of the
    variance where facts are independent and normal.

    Source: Bell & McCaffrey (2002); Imbens & Kolesar (2016), Robust Standard Errors in Small Samples.
    """
    a = ratio(np.ones_like(weights), 1 - weights)
    spread = (a**2 * weights**2 * (1 - 2 * weights)).sum(axis=0) + (a * weights**2).sum(axis=0) ** 2
    return ratio(np.ones_like(spread), spread)
