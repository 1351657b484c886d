"""What a sample of this size could have found."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy import optimize, special, stats

__all__ = ["mde"]

_QUANTILES = 100  # of the standard error's distribution
_FARTHEST = 1e3  # times t: one degree of freedom wants some five


def mde(standard_error: Any, df: Any, power: float = 0.8, alpha: float = 0.05) -> Any:
    """The smallest effect that a two-sided test at ``alpha`` would have found, in the effect's unit.

    So many standard errors that an effect as large as the one printed here is found in a new sample of the
    same design with probability ``power``: 2.80 of many clusters, 3.03 of 24, 3.70 of 8, 5.70 of 4. It is
    more than the usual sum of two quantiles, since the standard error is itself known from few clusters only.
    NaN where either is, and where nothing varied: a standard error of zero says nothing of another sample.
    Of several tests that are corrected together, ``alpha`` is what the first of them is tested at: an effect
    as large is found with at least that probability.

    Source: Bloom (1995), Minimum Detectable Effects; the average over the standard error's distribution is
    ours.
    """
    errors, dfs = np.broadcast_arrays(np.asarray(standard_error, float), np.asarray(df, float))
    factors = [_factor(round(float(each), 2), power, alpha) for each in dfs.ravel()]
    return (np.reshape(factors, dfs.shape) * np.where(errors > 0, errors, np.nan))[()]


@lru_cache(maxsize=4096)
def _factor(df: float, power: float, alpha: float) -> float:
    if not (df > 0 and 0 < alpha < 1):
        return float("nan")
    middle = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    error, t = np.sqrt(stats.chi2.ppf(middle, df) / df), stats.t.ppf(1 - alpha / 2, df)

    def missing(c: float) -> float:
        return float(special.ndtr(c * error[:, None] - t * error).mean() - power)

    return float(optimize.brentq(missing, 0.0, _FARTHEST * (t + 1)))
