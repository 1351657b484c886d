"""Clusters of facts with a known truth, for the simulations of intervals; one column per repetition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZES = {
    "equal": lambda rng, shape: np.full(shape, 6),
    "unequal": lambda rng, shape: np.minimum(rng.geometric(1 / 6, shape), 40),
    "very unequal": lambda rng, shape: np.minimum(
        np.ceil(np.exp(rng.normal(1.2, 1.0, shape))).astype(int), 60
    ),
    "single facts": lambda rng, shape: np.ones(shape, dtype=int),
}
"""How many facts a cluster has: 6; geometric (1 to 40, mean 6); log-normal, one with half of all facts."""


@dataclass(frozen=True)
class Sample:
    """Repetitions of one setting.

    Attributes:
        values: ``[fact, repetition]``; NaN where a cluster has fewer facts than the largest.
        labels: Cluster of each fact.
        truth: The mean that intervals should hold.
    """

    values: np.ndarray
    labels: list[int]
    truth: float

    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Sum and number of facts, ``[cluster, repetition]``."""
        by_cluster = self.values.reshape(len(set(self.labels)), -1, self.values.shape[1])
        return np.nansum(by_cluster, axis=1), (~np.isnan(by_cluster)).sum(axis=1).astype(float)

    def another(self, rng: np.random.Generator, kind: str, icc: float) -> np.ndarray:
        """Draw other values of the same facts, independent of these."""
        shape = (len(set(self.labels)), -1, self.values.shape[1])
        grid = self.values.reshape(shape)
        return np.where(np.isnan(grid), np.nan, _values(rng, kind, icc, grid.shape)[0]).reshape(
            self.values.shape
        )


def sample(
    rng: np.random.Generator, kind: str, sizes: str, clusters: int, icc: float, repetitions: int
) -> Sample:
    """Draw facts in clusters whose values correlate by ``icc``.

    Args:
        rng: Random numbers.
        kind: ``normal``; ``skewed`` (exponential); ``share P`` (right or wrong); ``change P`` (a share P of
            facts changes, four of five for the better).
        sizes: One of `SIZES`.
        clusters: How many.
        icc: Correlation of two facts of a cluster.
        repetitions: How many samples.
    """
    n = SIZES[sizes](rng, (clusters, repetitions))
    shape = (clusters, int(n.max()), repetitions)
    values, truth = _values(rng, kind, icc, shape)
    values = np.where(np.arange(shape[1])[None, :, None] < n[:, None], values, np.nan)
    labels = np.repeat(np.arange(clusters), shape[1]).tolist()
    return Sample(values.reshape(-1, repetitions), labels, truth)


def _values(
    rng: np.random.Generator, kind: str, icc: float, shape: tuple[int, int, int]
) -> tuple[np.ndarray, float]:
    name, _, share = kind.partition(" ")
    if name in ("normal", "skewed"):
        draw = rng.standard_normal if name == "normal" else lambda size: rng.standard_exponential(size) - 1
        shared, own = draw((shape[0], 1, shape[2])), draw(shape)
        return np.sqrt(icc) * shared + np.sqrt(1 - icc) * own, 0.0
    p = float(share)
    rate = np.full((shape[0], 1, shape[2]), p)
    if icc:
        rate = rng.beta(p * (1 - icc) / icc, (1 - p) * (1 - icc) / icc, rate.shape)
    event = (rng.random(shape) < rate).astype(float)
    if name == "share":
        return event, p
    return event * np.where(rng.random(shape) < 0.8, 1.0, -1.0), 0.6 * p
