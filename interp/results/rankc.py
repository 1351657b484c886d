"""RankC: how alike the rankings of the options are in two languages, its floor and its chance level."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from interp.results.consistency import filled, language_pairs, pool_sizes

__all__ = ["rankc", "rankc_bounds", "rankc_chance", "rankc_floor", "rankc_weights", "rescale"]


def rankc_weights(n: int) -> Float[np.ndarray, " option"]:
    """RankC's weights of the positions 1 to n, w_j = e^(n - j) / sum_k e^(n - k); they sum to one."""
    return special.softmax(-np.arange(n, dtype=float))


def rankc_floor(n: int) -> float:
    """RankC of two opposite rankings of n options: the lowest possible, sum_j w_j max(2j - n, 0) / j."""
    j = np.arange(1, n + 1)
    return float((rankc_weights(n) * np.maximum(2 * j - n, 0) / j).sum())


def rankc_chance(n: int) -> float:
    """Expected RankC of two independent uniform rankings of n options, sum_j w_j j / n."""
    return float((rankc_weights(n) * np.arange(1, n + 1) / n).sum())


def rankc_bounds(pools: Int[np.ndarray, " fact"]) -> tuple[float, float]:
    """Floor and chance of the mean RankC over facts with these pool sizes: the means over facts."""
    sizes, counts = np.unique(pools, return_counts=True)
    floors, chances = zip(*((rankc_floor(int(n)), rankc_chance(int(n))) for n in sizes), strict=True)
    return float(np.average(floors, weights=counts)), float(np.average(chances, weights=counts))


def rescale(value: float, zero: float) -> float:
    """(value - zero) / (1 - zero): 0 at ``zero``, 1 at 1. The published rescaling has zero at the floor."""
    return (value - zero) / (1 - zero)


def rankc(
    scores: Float[np.ndarray, "fact language option"],
) -> Float[np.ndarray, "fact language language"]:
    """RankC of every fact and pair of languages: weighted overlap of their rankings (floor to 1; diagonal 1).

    sum_j w_j |top_j and top_j'| / j over positions 1 to n, where top_j is the set of the j best options, n
    the size of the fact's pool and w `rankc_weights`. An option is in both sets from the worse of its two
    positions m on, so the sum is over options: the tail sum_{j >= m} w_j / j.

    Equal scores rank by option index, as published, so ties depend on the order of the options. At n = 4 the
    first weight is .644: RankC is for two thirds the agreement of the answers and no independent evidence
    beside it. It is not corrected for accuracy either, since two languages also agree by being right: see
    `interp.results.consistency.both_wrong`.

    Source: Qi et al. (2023), Cross-Lingual Consistency of Factual Knowledge, arXiv 2310.10378; equal to
    Betswish/Cross-Lingual-Consistency with softmax weights.
    """
    tails = _tails(pool_sizes(scores), scores.shape[2])
    order = np.argsort(-filled(scores), axis=2, kind="stable")
    position = np.argsort(order, axis=2)
    values = np.ones((len(scores), scores.shape[1], scores.shape[1]))
    for a, b in language_pairs(scores.shape[1]):
        worse = np.maximum(position[:, a], position[:, b])
        values[:, a, b] = values[:, b, a] = np.take_along_axis(tails, worse, axis=1).sum(axis=1)
    return values


def _tails(pools: Int[np.ndarray, " fact"], n_options: int) -> Float[np.ndarray, "fact option"]:
    """Per fact, sum_{j > m} w_j / j at 0-based position m of its pool; 0 for absent options."""
    sizes, which = np.unique(pools, return_inverse=True)
    table = np.zeros((len(sizes), n_options))
    for row, n in zip(table, sizes.tolist(), strict=True):
        share = rankc_weights(n) / np.arange(1, n + 1)
        row[:n] = share[::-1].cumsum()[::-1]
    return table[which]
