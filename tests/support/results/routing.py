"""Results of routing from attributions that we give."""

from __future__ import annotations

import numpy as np

from interp.results.routing import RoutingResult
from tests.support.results import provenance

CODES, SCRIPTS = ("en", "sw", "ja"), ("Latn", "Latn", "Jpan")
TOP = 3


def routing_result(vectors: np.ndarray, name: str = "a") -> RoutingResult:
    """The result of attributions [fact, language, layer, neuron]."""
    n_facts, n_languages, n_layers, _ = vectors.shape
    full = vectors.reshape(n_facts, n_languages, -1)
    top = np.zeros((n_facts, n_languages, n_layers + 1, full.shape[2]), dtype=int)
    for f in range(n_facts):
        for a in range(n_languages):
            for layer in range(n_layers):
                top[f, a, layer, np.argsort(-vectors[f, a, layer])[:TOP]] = 1
            top[f, a, -1, np.argsort(-full[f, a])[: TOP * n_layers]] = 1
    product = "faln,fbln->fabl"
    return RoutingResult(
        languages=CODES[:n_languages],
        scripts=SCRIPTS[:n_languages],
        fact_ids=tuple(f"f{i:03d}" for i in range(n_facts)),
        relations=("r",) * n_facts,
        groups=tuple(f"g{i // 2}" for i in range(n_facts)),
        units=("neurons",),
        top=np.array([[TOP] * n_layers + [TOP * n_layers]]),
        contrast=full.sum(axis=2).astype(np.float32),
        dots=np.einsum(product, vectors, vectors)[None].astype(np.float32),
        cross=np.einsum(product, vectors[::2], vectors[1::2])[None].astype(np.float32),
        shared=np.einsum(product, top, top)[None].astype(np.int32),
        shared_cross=np.einsum(product, top[::2], top[1::2])[None].astype(np.int32),
        provenance=provenance(name),
    )


def vectors(n_facts=6, n_languages=3, n_layers=2, n_units=9, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_facts, n_languages, n_layers, n_units))
