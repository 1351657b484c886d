"""How well estimates predict effects: correlation over cells of their means, with the clusters' jackknife."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from interp.stats.clusters import cluster_totals, satterthwaite_df
from interp.stats.estimate import Estimate, half_width
from interp.stats.means import by_cell, known_mean, ratio

__all__ = ["CellMeans", "cell_means", "correlate", "slope"]

_FEWEST = 3  # cells: two always lie on a line
_ROUNDING = 1e-6  # of float32: what varies by less does not vary
_MOST = 1 - 1e-12  # of which Fisher's z is finite


@dataclass(frozen=True)
class CellMeans:
    """Means of cells over facts and languages: of all facts, and without each cluster.

    Attributes:
        all: Of all facts.
        without: Without the facts of one cluster.
        weights: Each cluster's share of the known values.
    """

    all: Float[np.ndarray, "1 cell"]
    without: Float[np.ndarray, "cluster cell"]
    weights: Float[np.ndarray, "cluster 1"]

    @property
    def n_clusters(self) -> int:
        """Clusters that have a value."""
        return len(self.without)

    def estimate(self, n: np.ndarray, confidence: float = 0.95) -> Estimate:
        """Mean of each cell with Student's t over clusters; ``n`` values of each."""
        error, df = _error(self.without, self.all, self.weights), satterthwaite_df(self.weights)[0]
        half = half_width(error, df, confidence)
        p = 2 * stats.t.sf(np.abs(ratio(self.all[0], error)), df)
        ends = {"low": self.all[0] - half, "high": self.all[0] + half, "p": p}
        common = {"n": n, "n_clusters": self.n_clusters, "standard_error": error, "df": df}
        return Estimate(self.all[0], **ends, **common, method="jackknife over clusters")


def cell_means(values: Float[np.ndarray, "fact language cell"], clusters: Sequence[Hashable]) -> CellMeans:
    """Mean over languages of the mean over facts, NaN left out; of all facts, and without each cluster.

    Two quantities that are known for the same facts stay paired cluster by cluster.
    """
    flat = by_cell(values)
    known = ~np.isnan(flat)
    totals = cluster_totals([np.where(known, flat, 0.0), known.astype(np.float64)], clusters)
    here = totals.sums[1].any(axis=1)
    total, count = (part[here] for part in totals.sums)

    def mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
        means: np.ndarray = known_mean(ratio(total, count).reshape(len(total), *values.shape[1:]), axis=1)
        return means

    whole = [part.sum(axis=0, keepdims=True) for part in (total, count)]
    weights = ratio(count.sum(axis=1, keepdims=True), count.sum())
    return CellMeans(mean(*whole), mean(whole[0] - total, whole[1] - count), weights)


def correlate(
    estimated: CellMeans, effects: CellMeans, cells: slice, *, ranks: bool = False, confidence: float = 0.95
) -> Estimate:
    """Pearson's correlation over some cells of their means, or Spearman's, -1 to 1; ``n`` counts cells.

    The interval is Student's t on Fisher's z over clusters of facts, the cells as they are; noise over facts
    makes a correlation of means smaller, and Pearson's interval has the jackknife's estimate of that taken
    off, the value not. NaN below 3 cells and where one side does not vary; no interval with fewer than 2
    clusters, or where it is NaN without one of them.
    """
    pairs = zip((estimated.all, estimated.without), (effects.all, effects.without), strict=True)
    (value,), without = (_pearson(*(_side(side[:, cells], ranks) for side in pair)) for pair in pairs)
    z, parts = (np.arctanh(np.clip(r, -_MOST, _MOST)) for r in (value, without))
    error, df = (
        _error(parts[:, None], np.array([z]), effects.weights)[0],
        satterthwaite_df(effects.weights)[0],
    )
    half = half_width(error, df, confidence)
    if len(parts) and not ranks:  # ranks jump, by which a correction can throw the interval anywhere
        z = z - (len(parts) - 1) * (parts.mean() - z)
    return Estimate(
        estimate=value,
        low=np.tanh(z - half),
        high=np.tanh(z + half),
        p=2 * stats.t.sf(np.abs(ratio(z, error)), df)[()],
        n=int((~np.isnan(effects.all[0, cells])).sum()),
        n_clusters=effects.n_clusters,
        standard_error=(1 - value**2) * error,
        df=df,
        method="jackknife of Fisher's z over clusters",
    )


def slope(x: Float[np.ndarray, " cell"], y: Float[np.ndarray, " cell"]) -> float:
    """Slope of y on x by least squares through zero; NaN where x is zero."""
    return float(ratio(np.nansum(x * y), np.nansum(x * x)))


def _error(without: np.ndarray, whole: np.ndarray, weights: Float[np.ndarray, "cluster 1"]) -> np.ndarray:
    """Standard error from the values without each cluster; of a mean, `clusters.variance_of_mean`."""
    if len(without) < 2:
        return np.full(without.shape[1:], np.nan)
    error: np.ndarray = np.sqrt(((without - whole) ** 2 * (1 - weights)).sum(axis=0))
    return error


def _side(values: np.ndarray, ranks: bool) -> np.ndarray:
    if not ranks or not values.size:
        return values
    return np.asarray(stats.rankdata(values, axis=1, nan_policy="omit"))


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of each row."""
    known = ~(np.isnan(x) | np.isnan(y))
    n = known.sum(axis=1)
    sides, varies = [], n >= _FEWEST
    for side in (x, y):
        mean = ratio(np.where(known, side, 0).sum(axis=1), n)
        apart = np.where(known, side - mean[:, None], 0)
        largest = np.abs(np.where(known, side, 0)).max(axis=1, initial=0)
        varies &= np.abs(apart).max(axis=1, initial=0) > _ROUNDING * largest
        sides.append(apart)
    one, other = sides
    products = (one * other).sum(axis=1), np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.where(varies, ratio(*products), np.nan)
