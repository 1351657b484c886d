"""How well estimates predict effects: correlation over cells of their means over facts, facts resampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Correlation", "Means", "correlate", "correlations", "resampled_means"]

_CHOSEN = ("top", "random", "both")
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
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([number[group] for group in groups], dtype=np.int64)
    flat = values.reshape(len(values), -1).astype(np.float64)
    known = ~np.isnan(flat)
    totals = np.zeros((2, len(number), flat.shape[1]))
    np.add.at(totals[0], codes, np.where(known, flat, 0))
    np.add.at(totals[1], codes, known)
    here = np.zeros(len(number), dtype=bool)
    here[codes[known.any(axis=1)]] = True
    totals, n = totals[:, here], int(here.sum())
    if n < 2:
        draws = 0
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), draws) if n else np.zeros((0, 0))

    def mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
        each = _ratio(total, count).reshape(len(total), *values.shape[1:])
        there = ~np.isnan(each)
        return _ratio(np.where(there, each, 0).sum(axis=1), there.sum(axis=1))

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


def correlations(estimated: Means, effects: Means, top: int) -> pd.DataFrame:
    """One row for the first ``top`` cells, for the others, and for both; see `AttributionResult.correlation`."""
    import pandas as pd

    rows = []
    for name, chosen in zip(_CHOSEN, (slice(top), slice(top, None), slice(None)), strict=True):
        row: dict[str, object] = {"cells": name}
        for kind in ("pearson", "spearman"):
            found = correlate(estimated, effects, chosen, ranks=kind == "spearman")
            row |= {"n": found.n, kind: found.value, f"{kind}_low": found.low, f"{kind}_high": found.high}
        x, y = estimated.all[0, chosen], effects.all[0, chosen]
        square = np.nansum(x * x)
        rows.append({**row, "slope": float(np.nansum(x * y) / square) if square > 0 else float("nan")})
    return pd.DataFrame(rows)


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
        mean = _ratio(np.where(known, side, 0).sum(axis=1), n)
        apart = np.where(known, side - mean[:, None], 0)
        largest = np.abs(np.where(known, side, 0)).max(axis=1, initial=0)
        varies &= np.abs(apart).max(axis=1, initial=0) > _ROUNDING * largest
        sides.append(apart)
    one, other = sides
    products = (one * other).sum(axis=1), np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.where(varies, _ratio(*products), np.nan)


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)
