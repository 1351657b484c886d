"""Results of routers from token distributions that we give."""

from __future__ import annotations

import numpy as np

from interp.results.experts import ExpertsResult
from tests.support.results import LANGUAGES, provenance


def experts_result(
    q: np.ndarray, *, tokens: int = 100, blocks: int = 8, top_k: int = 2, seed: int | None = None, name="a"
) -> ExpertsResult:
    """Sums and counts of mean distributions [language, layer, expert].

    Exact where seed is None, with ``chosen`` as if top-k choices were shares of q; else every token has a
    distribution of its own, drawn around the mean, and its top-k of it.
    """
    n_languages, n_layers, n_experts = q.shape
    shape = (n_languages, blocks, n_layers, n_experts)
    if seed is None:
        probability = np.broadcast_to(q[:, None] * tokens, shape).copy()
        chosen = np.rint(probability * top_k).astype(np.int64)
    else:
        rng = np.random.default_rng(seed)
        weights = rng.standard_gamma(
            np.broadcast_to(3 * n_experts * q[:, None, None], (n_languages, blocks, tokens, *q.shape[1:]))
        )
        each = weights / weights.sum(axis=-1, keepdims=True)
        bar = -np.sort(-each, axis=-1)[..., top_k - 1 : top_k]
        probability, chosen = each.sum(axis=2), (each >= bar).sum(axis=2)
    size = np.full((n_languages, blocks), tokens)
    return ExpertsResult(
        LANGUAGES[:n_languages],
        size,
        np.full_like(size, 20),
        provenance(name),
        layers=tuple(range(n_layers)),
        probability=probability,
        chosen=chosen,
    )
