"""Results made from known rates, without a model."""

from __future__ import annotations

import numpy as np

from interp.results import HeadsResult, SpecializationResult
from interp.results.base import Provenance

LANGUAGES = ("en", "sw", "ja")


def provenance(name: str = "a", **settings: object) -> Provenance:
    return Provenance(
        checkpoint=name, fingerprint=name * 8, prompts="made", prompts_digest="d" * 64, settings=settings
    )


def neurons(rates: np.ndarray, *, tokens: int = 1000, blocks: int = 8, seed: int | None = 0, name: str = "a"):
    """Counts of given rates [language, layer, neuron]: binomial per block, or exact where seed is None."""
    n_languages = len(rates)
    size = np.full((n_languages, blocks), tokens)
    each = np.broadcast_to(rates[:, None], (n_languages, blocks, *rates.shape[1:]))
    counts = np.rint(each * tokens) if seed is None else np.random.default_rng(seed).binomial(tokens, each)
    languages = LANGUAGES[:n_languages] if n_languages <= 3 else tuple(f"l{i}" for i in range(n_languages))
    return SpecializationResult(
        languages, size, np.full_like(size, 20), provenance(name), counts=counts.astype(np.int32)
    )


def heads(importance: np.ndarray, *, blocks: int = 8, items: int = 20, name: str = "a"):
    """Heads whose every item has |gradient| = importance / 1000 and helps."""
    n_languages = len(importance)
    size = np.full((n_languages, blocks), items)
    each = np.broadcast_to(importance[:, None], (n_languages, blocks, *importance.shape[1:]))
    helpful = np.full(each.shape, items)
    languages = LANGUAGES[:n_languages] if n_languages <= 3 else tuple(f"l{i}" for i in range(n_languages))
    return HeadsResult(
        languages, size * 50, size, provenance(name), magnitude=each * items / 1000, helpful=helpful
    )
