"""How well estimates predict effects: correlation over cells of their means over facts, facts resampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from interp.stats.clusters import cluster_totals, resampled_counts
from interp.stats.means import known_mean, ratio

__all__ = ["Correlation", "Means", "correlate", "resampled_means", "slope"]

_FEWEST = 3  # cells: two always lie on a line
_ROUNDING = 1e-6  # of float32: what varies by less does not vary

Facts = Float[np.ndarray, "fact language cell"]


class Correlation(NamedTuple):
    """A correlation over cells with its 95 % interval.

    Attributes:
        n: Cells.
        value: -1 to 1; NaN below 3 cells, and where one side does not vary.
        low: Lower end; NaN with fewer than 2 groups of facts, or where a resample has no correlation.
        high: Upper end.
    """

    n: int
    value: float
    low: float
    high: float


class Means(NamedTuple):
    """Means of cells over facts and languages: of all facts, and of each resample."""

    all: Float[np.ndarray, "1 cell"]
    resampled: Float[np.ndarray, "draw cell"]


def resampled_means(values: Facts, groups: Sequence[str], *, draws: int = 2000, seed: int = 0) -> Means:
    """Mean over languages of the mean over facts, NaN left out; and the same of resampled groups of facts.

    The resamples depend on nothing but the groups, so two quantities of the same facts stay paired.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    known = np.where(np.isnan(flat), np.nan, 1.0)
    totals = np.stack(cluster_totals([flat, known], groups))
    n = totals.shape[1]
    weights = resampled_counts(n, draws if n >= 2 else 0, seed)

    def mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
        means: np.ndarray = known_mean(ratio(total, count).reshape(len(total), *values.shape[1:]), axis=1)
        return means

    return Means(mean(*totals.sum(axis=1, keepdims=True)), mean(*(weights @ totals)))


def correlate(estimated: Means, effects: Means, chosen: slice, *, ranks: bool = False) -> Correlation:
    """Pearson's correlation over some cells of their means, or Spearman's."""
    pairs = zip(estimated, effects, strict=True)
    (value,), found = (_pearson(*(_side(side[:, chosen], ranks) for side in pair)) for pair in pairs)
    n = int((~np.isnan(effects.all[0, chosen])).sum())
    if not len(found) or np.isnan(found).any():
        return Correlation(n, float(value), float("nan"), float("nan"))
    low, high = np.quantile(found, [0.025, 0.975])
    return Correlation(n, float(value), float(low), float(high))


def slope(x: Float[np.ndarray, " cell"], y: Float[np.ndarray, " cell"]) -> float:
    """Slope of y on x by least squares through zero; NaN where x is zero."""
    return float(ratio(np.nansum(x * y), np.nansum(x * x)))


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
