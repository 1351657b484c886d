"""Linear CKA: how alike two clouds of vectors of the same facts are, up to rotation and scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from interp.stats import ratio

__all__ = ["cka_of_all", "linear_cka"]


def linear_cka(x: Float[np.ndarray, "fact model"], y: Float[np.ndarray, "fact width"]) -> float:
    """Linear centered kernel alignment of two sets of vectors, 0 to 1; NaN if one set is constant.

    |Y'X|^2 / (|X'X| |Y'Y|) in Frobenius norms, columns centered. It does not change when either side is
    rotated, scaled or moved. It is biased upward: with far more dimensions than facts it is near 1 for any
    two sets, so `cka_of_all` also gives it for shuffled facts.

    Source: Kornblith et al. (2019), https://arxiv.org/abs/1905.00414.
    """
    every, _ = cka_of_all([x, y])
    return float(every[0, 1].mean())


def cka_of_all(
    vectors: Sequence[Float[np.ndarray, "fact _"]],
) -> tuple[Float[np.ndarray, "language language fact"], Float[np.ndarray, "language language"]]:
    """Return linear CKA of all pairs of languages by fact, and its value when nothing corresponds.

    With r_f(X, Y) = x_f' X'Y y_f, the part of |Y'X|^2 that fact f has, CKA is c = r(X, Y) / sqrt(r(X, X) r(Y,
    Y)) of the sums over facts. The value of fact f is c and, n times, its influence on c (the derivative by
    the fact's weight):

        c + n (2 r_f(X, Y) / sqrt(r(X, X) r(Y, Y)) - c r_f(X, X) / r(X, X) - c r_f(Y, Y) / r(Y, Y))

    The mean of these values is c, and resampling them gives the interval that resampling facts gives to first
    order.

    Args:
        vectors: Per language, in float64.

    Returns:
        The values; and CKA when the second language's facts are in another order (one fixed shuffle).
    """
    centered = [_centered(v) for v in vectors]
    n = len(centered[0])
    parts = _by_facts if n < max(v.shape[1] for v in vectors) else _by_features
    products = parts(centered, centered)
    total = products.sum(axis=-1)
    own = np.sqrt(np.diagonal(total))
    below = own[:, None] * own
    order = np.random.default_rng(0).permutation(n)
    shuffled = parts(centered, [v[order] for v in centered]).sum(axis=-1)
    value = ratio(total, below)[..., None]
    share = ratio(np.einsum("aaf->af", products), own[:, None] ** 2)
    influence = 2 * ratio(products, below[..., None]) - value * (share[:, None] + share[None])
    return value + n * influence, ratio(shuffled, below)


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
