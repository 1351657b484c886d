"""Linear CKA: how alike two clouds of vectors of the same facts are, up to rotation and scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from interp.stats import ratio

__all__ = ["PairwiseCKA", "calibrated_cka", "cka_of_all", "linear_cka"]


class PairwiseCKA(NamedTuple):
    """Linear CKA of all pairs of languages.

    Attributes:
        plain: Values by fact, whose mean over facts is CKA.
        calibrated: The same of calibrated CKA, see `calibrated_cka`.
        chance: Its mean over all orders of one language's facts: what CKA is where nothing corresponds.
    """

    plain: Float[np.ndarray, "language language fact"]
    calibrated: Float[np.ndarray, "language language fact"]
    chance: Float[np.ndarray, "language language"]


def linear_cka(x: Float[np.ndarray, "fact model"], y: Float[np.ndarray, "fact width"]) -> float:
    """Linear centered kernel alignment of two sets of vectors, 0 to 1; NaN if one set is constant.

    |Y'X|^2 / (|X'X| |Y'Y|) in Frobenius norms, columns centered. It does not change when either side is
    rotated, scaled or moved. It is biased upward: with far more dimensions than facts it is near 1 for any
    two sets, so `calibrated_cka` stands beside it.

    Source: Kornblith et al. (2019), https://arxiv.org/abs/1905.00414.
    """
    return float(cka_of_all([x, y]).plain[0, 1].mean())


def calibrated_cka(x: Float[np.ndarray, "fact model"], y: Float[np.ndarray, "fact width"]) -> float:
    """Linear CKA counted from its level of chance: 1 if the sets are alike, 0 on average by chance.

    (c - m) / (1 - m), where c is CKA and m its mean over all n! orders of one set's facts. That mean needs no
    draw: with K = XX' and L = YY' centered it is tr K tr L / ((n - 1) |K| |L|). NaN for two facts, which are
    alike in any order; below 0 where translations are less alike than facts in another order.

    Source: Groeger, Wen & Brbic (2026), https://arxiv.org/abs/2602.14486, who take the 95th percentile of 200
    random orders for m, and 0 for what is below: their value is 0 for 95 % of unrelated sets, ours in the
    mean over them, so that it can be averaged over pairs and layers without a bias.
    """
    return float(cka_of_all([x, y]).calibrated[0, 1].mean())


def cka_of_all(vectors: Sequence[Float[np.ndarray, "fact _"]]) -> PairwiseCKA:
    """Return linear CKA of all pairs of languages by fact, plain and calibrated, and its level of chance.

    With r_f(X, Y) = x_f' X'Y y_f, the part of |Y'X|^2 that fact f has, CKA is c = r(X, Y) / sqrt(r(X, X) r(Y,
    Y)) of the sums over facts. The value of fact f is c and, n times, its influence on c (the derivative by
    the fact's weight):

        c + n (2 r_f(X, Y) / sqrt(r(X, X) r(Y, Y)) - c r_f(X, X) / r(X, X) - c r_f(Y, Y) / r(Y, Y))

    The mean of these values is c, and resampling them gives the interval that resampling facts gives to first
    order. The level of chance is m = t(X) t(Y) / ((n - 1) sqrt(r(X, X) r(Y, Y))), with t(X) the sum over
    facts of |x_f|^2; its influence is m (|x_f|^2 / t(X) + |y_f|^2 / t(Y) - r_f(X, X) / r(X, X) - r_f(Y, Y) /
    r(Y, Y)), and that of the calibrated value follows.

    Args:
        vectors: Per language, in float64.
    """
    centered = [_centered(v) for v in vectors]
    n = len(centered[0])
    parts = _by_facts if n < max(v.shape[1] for v in vectors) else _by_features
    products = parts(centered, centered)
    total = products.sum(axis=-1)
    own = np.sqrt(np.diagonal(total))
    below = own[:, None] * own
    value = ratio(total, below)[..., None]
    share = ratio(np.einsum("aaf->af", products), own[:, None] ** 2)
    shares = share[:, None] + share[None]
    influence = 2 * ratio(products, below[..., None]) - value * shares
    squares = np.stack([(v**2).sum(axis=1) for v in centered])
    trace = squares.sum(axis=1)
    chance = ratio(trace[:, None] * trace, (n - 1) * below)[..., None]
    spread = ratio(squares, trace[:, None])
    moving = chance * (spread[:, None] + spread[None] - shares)
    calibrated = ratio(value - chance, 1 - chance)
    pulled = ratio(influence * (1 - chance) - moving * (1 - value), (1 - chance) ** 2)
    return PairwiseCKA(value + n * influence, calibrated + n * pulled, chance[..., 0])


def _centered(x: Float[np.ndarray, "fact width"]) -> Float[np.ndarray, "fact width"]:
    """Columns centered; zero where nothing but rounding is left."""
    moved = x - x.mean(axis=0)
    return moved if np.linalg.norm(moved) > 1e-6 * np.linalg.norm(x) else np.zeros_like(x)


def _by_features(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray]) -> Float[np.ndarray, "x y fact"]:
    """Each fact's part of |Y'X|^2, from products of features."""
    return np.stack([np.stack([((x @ (x.T @ y)) * y).sum(axis=1) for y in ys]) for x in xs])


def _by_facts(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray]) -> Float[np.ndarray, "x y fact"]:
    """The same from products of facts: the rows of the product of the two kernels, entry by entry."""
    left, right = ([v @ v.T for v in vectors] for vectors in (xs, ys))
    return np.stack([np.stack([np.einsum("fg,fg->f", a, b) for b in right]) for a in left])
