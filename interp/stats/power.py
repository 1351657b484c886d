"""What a sample of this size could have found."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special, stats

__all__ = ["mde"]


def mde(standard_error: Any, df: Any, power: float = 0.8, alpha: float = 0.05) -> Any:
    """The smallest effect that a two-sided test at ``alpha`` finds with probability ``power``, in the effect's unit.

    ``standard_error`` times the noncentrality at which Student's t with ``df`` degrees of freedom goes beyond its
    critical value that often: 2.80 standard errors of many clusters, 2.92 of 24, 3.32 of 8. NaN where either is.

    Source: Bloom (1995), Minimum Detectable Effects; exact by the noncentral t instead of its sum of two quantiles.
    """
    df = np.asarray(df, dtype=float)
    factor = special.nctdtrinc(df, 1 - power, stats.t.ppf(1 - alpha / 2, df))
    return (np.where(df > 0, factor, np.nan) * np.asarray(standard_error, dtype=float))[()]
