"""An estimate: a value with its interval and p, and how many facts and clusters it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.stats.power import mde

if TYPE_CHECKING:
    Values = Any  # numpy turns an array without axes into a scalar, and no stub says when
else:
    Values = np.ndarray | np.number | float

__all__ = ["FEWEST_CLUSTERS", "FEW_CLUSTERS", "Estimate", "few_clusters"]

FEWEST_CLUSTERS = 2
"""Clusters below which there is no interval: nothing says how much another cluster would differ."""
FEW_CLUSTERS = 20
"""Clusters below which an interval leans on the clusters' means being near to normal."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval over clusters of facts; every number may be an array, one per cell.

    Attributes:
        estimate: The value, in the unit of the data; NaN where no fact has one.
        low: Lower end of the interval; NaN with fewer than 2 clusters, and where there is none.
        high: Upper end.
        p: Two-sided p of the value being zero (of a share: being the null that was given; else NaN).
        n: Facts that have a value (of a correlation: cells).
        n_clusters: Clusters that have such a fact.
        standard_error: In the unit of the value.
        df: Degrees of freedom of Student's t: clusters - 1 where clusters are equally large, else fewer.
        method: How the interval was made, in words.
    """

    estimate: Values
    low: Values
    high: Values
    p: Values
    n: Values
    n_clusters: Values
    standard_error: Values
    df: Values
    method: str

    def mde(self, power: float = 0.8, alpha: float = 0.05) -> Values:
        """The smallest effect that would have been found: see `interp.stats.mde`."""
        return mde(self.standard_error, self.df, power, alpha)

    def excludes(self, value: float = 0.0) -> Any:
        """Whether the interval leaves out a value; False where there is no interval."""
        return (self.low > value) | (self.high < value)

    def columns(self, name: str, prefix: str = "", *, counts: bool = True) -> dict[str, Any]:
        """For a table: ``n`` and ``n_clusters``, the value under a name, and the ends of its interval."""
        sizes = {"n": self.n, "n_clusters": self.n_clusters} if counts else {}
        return {**sizes, name: self.estimate, f"{prefix}low": self.low, f"{prefix}high": self.high}


def few_clusters(n: int, n_clusters: int) -> list[str]:
    """What so few clusters leave doubtful, in words; empty from 20 on."""
    where = f"{n} facts in {n_clusters} cluster{'s' * (n_clusters != 1)}"
    if n_clusters < FEWEST_CLUSTERS:
        return [f"{where}: no interval can be given, because at least {FEWEST_CLUSTERS} clusters are needed."]
    if n_clusters < FEW_CLUSTERS:
        return [
            f"{where}: with fewer than {FEW_CLUSTERS} clusters intervals are wide, and right only if no "
            "cluster is very unlike the others."
        ]
    return []
