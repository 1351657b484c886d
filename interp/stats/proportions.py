"""Intervals of shares: within 0 to 1, and never of width zero."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import stats

from interp.stats.clustered import Labels
from interp.stats.clusters import cluster_totals, satterthwaite_df, variance_of_mean
from interp.stats.estimate import Estimate
from interp.stats.means import by_cell, ratio

__all__ = ["clustered_share", "wilson"]

_ROUNDING = 1e-9  # beyond 0 and 1


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share, ``correct`` of ``n`` independent trials (scipy); within 0 to 1."""
    low, high = stats.binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


def clustered_share(
    values: Float[np.ndarray, " fact *cell"],
    clusters: Labels = None,
    *,
    null: float | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of values from 0 to 1, per cell, with Wilson's interval over clusters.

    Wilson's score interval with Student's t over clusters in place of the normal quantile, and with the
    effective number of facts n / D in place of n. The design effect D is the variance of the sum over
    clusters (CR2) over that of independent yes-or-no facts, n m (1 - m), each with one more event added
    (`ClusterTotals.event_variance`): where no event was seen, or few, nothing tells how alike the facts of a
    cluster are, and half alike is assumed. So 0 of 100 independent facts is [0, .038], 0 of 100 in 20 equal
    clusters [0, .116].

    Args:
        values: Credit, 0 to 1; NaN where a fact has none.
        clusters: See `interp.stats.clustered_mean`.
        null: Share that ``p`` is of, such as chance, above 0 and below 1; without, p is NaN.
        confidence: Of the interval.

    Raises:
        ValueError: There is not one label per fact, or a value is outside of 0 to 1.

    Source: Wilson (1927); Dean & Pagano (2015), Evaluating Confidence Interval Methods for Binomial
    Proportions in Clustered Surveys. The event that is added is ours (tests/truth/intervals.md).
    """
    flat = by_cell(values)
    if (flat < -_ROUNDING).any() or (flat > 1 + _ROUNDING).any():
        raise ValueError(f"shares are 0 to 1, but there are {np.nanmin(flat):.3g} and {np.nanmax(flat):.3g}")
    totals = cluster_totals([np.clip(flat, 0.0, 1.0)], clusters)
    (mean,), (residual,), n = totals.means, totals.residuals, totals.n
    variance = variance_of_mean(residual, residual, totals) * n**2
    design = (variance + totals.event_variance) / (n * mean * (1 - mean) + 1)
    effective, df = ratio(n, design), satterthwaite_df(totals.weights)
    t = stats.t.ppf(0.5 + confidence / 2, df)
    center = (mean + t**2 / (2 * effective)) / (1 + t**2 / effective)
    half = t * np.sqrt(mean * (1 - mean) / effective + t**2 / (4 * effective**2)) / (1 + t**2 / effective)
    p = np.full(mean.shape, np.nan)
    if null is not None:
        p = 2 * stats.t.sf(np.abs(mean - null) / np.sqrt(null * (1 - null) / effective), df)
    columns = {"estimate": mean, "low": np.maximum(center - half, 0), "high": np.minimum(center + half, 1)}
    columns |= {
        "p": p,
        "n": n.astype(int),
        "n_clusters": totals.n_clusters,
        "standard_error": half / t,
        "df": df,
    }
    shaped = {name: np.asarray(part).reshape(values.shape[1:])[()] for name, part in columns.items()}
    return Estimate(**shaped, method="Wilson's interval over clusters")
