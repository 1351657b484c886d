"""RankC: how alike the rankings of the options are in two languages, its floor and its chance level."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
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

    Of equal scores it is the expectation over their orders, drawn anew in each language: two languages whose
    scores are all equal are at chance (the published code ranks them by index, and gives 1; see
    `interp.results.consistency.published_order`). At n = 4 the first weight is .644: RankC is for two thirds
    the agreement of the answers and no independent evidence beside it. It is not corrected for accuracy
    either, since two languages also agree by being right: see `interp.results.consistency.both_wrong`.

    Source: Qi et al. (2023), Cross-Lingual Consistency of Factual Knowledge, arXiv 2310.10378; equal to
    Betswish/Cross-Lingual-Consistency with softmax weights.
    """
    tails = _tails(pool_sizes(scores), scores.shape[2])
    ranked = filled(scores)
    order = np.argsort(-ranked, axis=2, kind="stable")
    position = np.argsort(order, axis=2)
    values = np.ones((len(scores), scores.shape[1], scores.shape[1]))
    for a, b in language_pairs(scores.shape[1]):
        worse = np.maximum(position[:, a], position[:, b])
        values[:, a, b] = values[:, b, a] = np.take_along_axis(tails, worse, axis=1).sum(axis=1)
    for fact in np.flatnonzero(_ties(ranked).any(axis=1)):
        values[fact] = _expected(ranked[fact], tails[fact])
    return values


def _ties(ranked: Float[np.ndarray, "fact language option"]) -> Bool[np.ndarray, "fact language"]:
    """Where two options have the same score; absent ones, -inf, do not count."""
    falling = np.sort(ranked, axis=2)
    same = (falling[:, :, 1:] == falling[:, :, :-1]) & ~np.isneginf(falling[:, :, 1:])
    return np.asarray(same.any(axis=2))


def _expected(
    ranked: Float[np.ndarray, "language option"], tails: Float[np.ndarray, " option"]
) -> Float[np.ndarray, "language language"]:
    """RankC of one fact, the mean over all orders of tied options.

    An option whose tie begins behind f others and holds k is among the j best with probability (j - f) / k,
    between 0 and 1; tied orders of two languages are independent, so it is in both sets with the product.
    """
    n = int((tails > 0).sum())
    present = ranked[:, ~np.isneginf(ranked[0])]
    ahead = (present[:, None, :] > present[:, :, None]).sum(axis=2)
    alike = (present[:, None, :] == present[:, :, None]).sum(axis=2)
    within = np.clip((np.arange(1, n + 1) - ahead[..., None]) / alike[..., None], 0, 1)
    weights = tails[:n] - np.append(tails[1:n], 0)
    found: np.ndarray = np.einsum("aoj,boj,j->ab", within, within, weights)
    np.fill_diagonal(found, 1)
    return found


def _tails(pools: Int[np.ndarray, " fact"], n_options: int) -> Float[np.ndarray, "fact option"]:
    """Per fact, sum_{j > m} w_j / j at 0-based position m of its pool; 0 for absent options."""
    sizes, which = np.unique(pools, return_inverse=True)
    table = np.zeros((len(sizes), n_options))
    for row, n in zip(table, sizes.tolist(), strict=True):
        share = rankc_weights(n) / np.arange(1, n + 1)
        row[:n] = share[::-1].cumsum()[::-1]
    return table[which]
