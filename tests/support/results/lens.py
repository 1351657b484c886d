"""Results of a lens from probabilities, the rest at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from interp.results.lens import LensResult
from tests.support.results import LANGUAGES, provenance


def lens_result(
    probability: np.ndarray, *, seed: int = 0, name: str = "a", pivot: str = "en", **changes: object
) -> LensResult:
    """The result of probabilities [fact, language, layer, answer]; the rest is random."""
    random = np.random.default_rng(seed)
    n_facts, n_languages, n_layers, _ = probability.shape
    made = LensResult(
        languages=LANGUAGES[:n_languages],
        fact_ids=tuple(f"f{i:03d}" for i in range(n_facts)),
        groups=tuple(f"g{i // 2}" for i in range(n_facts)),
        overlap=np.zeros((n_facts, n_languages, n_languages), dtype=bool),
        clean=np.ones((n_facts, n_languages), dtype=bool),
        probability=probability.astype(np.float32),
        rank=random.integers(1, 100, probability.shape).astype(np.int32),
        mass=(random.random(probability.shape) / 9).astype(np.float32),
        mass_tokens=(5,) * n_languages,
        entropy=random.random((n_facts, n_languages, n_layers)).astype(np.float32),
        energy=random.random((n_facts, n_languages, n_layers)).astype(np.float32),
        provenance=provenance(name, pivot=pivot),
    )
    return replace(made, **changes)


def random_lens_result(n_facts: int = 12, n_layers: int = 4, seed: int = 0, **changes: object) -> LensResult:
    probability = np.random.default_rng(seed).random((n_facts, 3, n_layers, 3)) / 3
    return lens_result(probability, seed=seed, **changes)
