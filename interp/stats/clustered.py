"""A mean, a paired difference and a ratio of means, with intervals that hold with few and unequal clusters.

A percentile bootstrap over clusters is too narrow: with 4 clusters it holds the truth in 79 % instead of 95,
with 16 in 91. Student's t with a variance that is right for unequal clusters (CR2) and its own degrees of
freedom holds at 93 to 97 % from 2 clusters on; tests/truth/intervals.md compares it with seven others.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from interp.stats.clusters import ClusterTotals, cluster_totals, satterthwaite_df, variance_of_mean
from interp.stats.estimate import Estimate
from interp.stats.means import by_cell, ratio

__all__ = ["clustered_mean", "paired_difference", "ratio_of_means", "t_estimate"]

Labels = Sequence[Hashable] | None


def clustered_mean(
    values: Float[np.ndarray, " fact *cell"], clusters: Labels = None, *, confidence: float = 0.95
) -> Estimate:
    """Mean over the facts that have a value, per cell, with Student's t over clusters.

    Args:
        values: NaN where a fact has none.
        clusters: A label per fact; facts with one label are not independent. Without, every fact is.
        confidence: Of the interval.

    Raises:
        ValueError: There is not one label per fact.
    """
    flat = by_cell(values)
    totals = cluster_totals([flat], clusters)
    (residual,) = totals.residuals
    variance = variance_of_mean(residual, residual, totals)
    return t_estimate(totals, totals.means[0], np.sqrt(variance), values.shape[1:], confidence)


def paired_difference(
    after: Float[np.ndarray, " fact *cell"],
    before: Float[np.ndarray, " fact *cell"],
    clusters: Labels = None,
    *,
    share: bool = False,
    confidence: float = 0.95,
) -> Estimate:
    """Mean over facts of ``after`` - ``before``, where both have a value, with Student's t over clusters.

    Args:
        after: Values of the facts.
        before: Of the same facts.
        clusters: See `clustered_mean`.
        share: Values are shares, 0 to 1. Where few facts change, or none, as many more could have changed by
            chance: the variance is that of one more fact that changes, and the interval ends at -1 and 1. So
            no change in 100 facts is [-.02, .02], not [0, 0].
        confidence: Of the interval.

    Raises:
        ValueError: There is not one label per fact.
    """
    change = by_cell(after - before)
    totals = cluster_totals([change], clusters)
    (residual,) = totals.residuals
    variance = variance_of_mean(residual, residual, totals)
    if share:
        variance = variance + ratio(_usual_square(change) * totals.event_variance, totals.n**2)
    interval = t_estimate(totals, totals.means[0], np.sqrt(variance), after.shape[1:], confidence)
    if not share:
        return interval
    low, high = (np.clip(end, -1.0, 1.0) for end in (interval.low, interval.high))
    return Estimate(**{**vars(interval), "low": low, "high": high})


def ratio_of_means(
    above: Float[np.ndarray, " fact *cell"],
    below: Float[np.ndarray, " fact *below"],
    clusters: Labels = None,
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Mean(above) / mean(below) per cell, with Fieller's interval over clusters.

    A fact whose own ``below`` is tiny has a ratio of its own that is huge, and the mean of such ratios is
    ruled by the facts with the least to recover; the ratio of means weighs each fact by what there is to
    recover. The interval holds every ratio x for which the mean of above - x * below is not shown to differ
    from zero. NaN where mean(below) is not above zero; the ends are NaN where it is not shown to be.

    Args:
        above: NaN where a fact has none; it then counts in neither mean of that cell.
        below: One value per fact, or one per fact and cell.
        clusters: See `clustered_mean`.
        confidence: Of the interval.

    Raises:
        ValueError: There is not one label per fact.

    Source: Fieller (1954), Some Problems in Interval Estimation.
    """
    flat = by_cell(above)
    under = np.broadcast_to(by_cell(below), flat.shape)
    totals = cluster_totals([flat, under], clusters)
    (a, b), (ra, rb) = totals.means, totals.residuals
    aa, ab, bb = (variance_of_mean(one, two, totals) for one, two in ((ra, ra), (ra, rb), (rb, rb)))
    value = ratio(a, b)
    error = ratio(np.sqrt(np.maximum(aa - 2 * value * ab + value**2 * bb, 0)), b)
    interval = t_estimate(totals, a, np.sqrt(aa), above.shape[1:], confidence)
    square = stats.t.ppf(0.5 + confidence / 2, satterthwaite_df(totals.weights)) ** 2
    lead, middle, rest = b**2 - square * bb, a * b - square * ab, a**2 - square * aa
    reach = np.sqrt(np.maximum(middle**2 - lead * rest, 0))
    shape, known = above.shape[1:], (b > 0) & (lead > 0)
    ends = (ratio(np.where(known, middle + side * reach, np.nan), lead) for side in (-1, 1))
    low, high, value, error = (_shaped(part, shape) for part in (*ends, value, error))
    new = {"estimate": value, "low": low, "high": high, "standard_error": error}
    return Estimate(**{**vars(interval), **new, "method": "Fieller's interval over clusters"})


def t_estimate(
    totals: ClusterTotals,
    value: Float[np.ndarray, " cell"],
    error: Float[np.ndarray, " cell"],
    shape: tuple[int, ...],
    confidence: float,
) -> Estimate:
    """Value +- t * standard error. Without spread, p is 1 of a value of zero, else that of equal signs."""
    df = satterthwaite_df(totals.weights)
    half = stats.t.ppf(0.5 + confidence / 2, df) * error
    p = 2 * stats.t.sf(np.abs(ratio(value, error)), df)
    p = np.where(error == 0, np.where(value == 0, 1.0, 2.0 ** (1 - totals.n_clusters)), p)
    columns = {"estimate": value, "low": value - half, "high": value + half, "p": p}
    columns |= {"n": totals.n.astype(int), "n_clusters": totals.n_clusters, "standard_error": error, "df": df}
    shaped = {name: _shaped(part, shape) for name, part in columns.items()}
    return Estimate(**shaped, method="Student's t over clusters, CR2")


def _usual_square(change: Float[np.ndarray, "fact cell"]) -> Float[np.ndarray, " cell"]:
    """Mean square of what is not zero; 1 where all is."""
    moved = np.abs(np.nan_to_num(change)) > 1e-12
    square = ratio(np.where(moved, np.nan_to_num(change) ** 2, 0).sum(axis=0), moved.sum(axis=0))
    return np.where(np.isnan(square), 1.0, square)


def _shaped(values: np.ndarray, shape: tuple[int, ...]) -> Any:
    return np.asarray(values).reshape(shape)[()]
