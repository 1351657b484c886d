"""Results of an ablation from harms that we give."""

from __future__ import annotations

import numpy as np

from interp.results.ablation import AblationResult
from tests.support.results import provenance

CODES = ("en", "sw", "ja")


def ablation_result(
    lost: np.ndarray, random: np.ndarray | None = None, *, seed: int = 0, name: str = "a"
) -> AblationResult:
    """The result of harms [owner, fact, language], and of random units [draw, owner, fact, language], in
    nats."""
    owners, n_facts, n_languages = lost.shape
    random = np.zeros((1, *lost.shape)) if random is None else random
    rng = np.random.default_rng(seed)
    intact = rng.random((n_facts, n_languages))
    options = -rng.random((n_facts, n_languages, 4))
    gold = rng.integers(4, size=n_facts)
    options[np.arange(n_facts), :, gold] = 1.0
    harms = np.concatenate([lost[None], random])
    scores = np.broadcast_to(options, (*harms.shape, 4)).copy()
    for at in np.argwhere(harms > 0.5):  # so much harm turns an answer wrong
        scores[(*at, gold[at[2]])] = -2.0
    return AblationResult(
        languages=CODES[:n_languages] if n_languages <= 3 else tuple(f"l{i}" for i in range(n_languages)),
        fact_ids=tuple(f"f{i:03d}" for i in range(n_facts)),
        groups=tuple(f"g{i // 2}" for i in range(n_facts)),
        unit="neurons",
        mode="zero",
        half=np.arange(n_facts) % 2,
        removed=np.tile(np.arange(5 * owners).reshape(owners, 5), (2, len(harms), 1, 1)),
        intact_loss=intact,
        loss=intact + harms,
        intact_scores=options,
        scores=scores,
        bytes=np.ones(options.shape, dtype=np.int64),
        gold=gold,
        provenance=provenance(name),
    )


def noise(n_languages: int = 3, n_facts: int = 40, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).normal(size=(n_languages, n_facts, n_languages))
