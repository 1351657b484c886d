"""Alignment of vectors that we give."""

from __future__ import annotations

import numpy as np

from probes.alignment import measure_alignment
from probes.alignment_results import AlignmentResult
from tests.support.activations import activations, fact_set


def alignment_result(values: np.ndarray, languages=("en", "sw", "ja"), **options) -> AlignmentResult:
    """Values [layer, fact, language, model]."""
    facts = fact_set(["a"] * values.shape[1], languages=languages)
    return measure_alignment(activations(values, facts), **options)


def translations(n: int = 40, noise: float = 0.5, seed: int = 0, width: int = 16) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(1, n, 1, width)) + noise * random.normal(size=(1, n, 3, width))
