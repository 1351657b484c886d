"""A ratio of two means over facts, with its interval over groups of facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from interp.stats.clusters import cluster_totals, resampled_counts
from interp.stats.means import ratio

__all__ = ["Ratio", "ratio_of_means"]


class Ratio(NamedTuple):
    """A ratio of two means with its interval, per cell."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def ratio_of_means(
    above: Float[np.ndarray, " fact *cell"],
    below: Float[np.ndarray, " fact *below"],
    groups: Sequence[str],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> Ratio:
    """Mean(above) / mean(below) per cell, and a 95 % percentile interval from resampling groups of facts.

    A fact whose own ``below`` is tiny has a ratio of its own that is huge, and the mean of such ratios is ruled by the
    facts with the least to recover; the ratio of means weighs each fact by what there is to recover. ``below`` is one
    value per fact, or one per fact and cell. Facts that are NaN in a cell count in neither mean of that cell. NaN where
    a cell has no fact, or its mean(below) is not above zero.
    """
    cells = above.shape[1:]
    flat = above.reshape(len(above), -1)
    under = np.broadcast_to(below.reshape(len(below), -1), flat.shape)
    totals = np.stack(cluster_totals([flat, under], groups))
    weights = resampled_counts(totals.shape[1], draws, seed)
    value, drawn = ratio(*totals.sum(axis=1)), ratio(*(weights @ totals))
    low, high = np.full((2, flat.shape[1]), np.nan)
    good = ~np.isnan(drawn).any(axis=0)  # a resample with nothing to recover leaves no interval
    if good.any():
        low[good], high[good] = np.quantile(drawn[:, good], [0.025, 0.975], axis=0)
    return Ratio(value.reshape(cells), low.reshape(cells), high.reshape(cells))
