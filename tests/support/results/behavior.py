"""Answers of which we say which are right."""

from __future__ import annotations

import numpy as np

from interp.results.base import Provenance
from interp.results.behavior import BehaviorResult

LANGUAGES = ("en", "sw", "zh")


def behavior_result(right: np.ndarray, seed: int = 0) -> BehaviorResult:
    """Answers in three languages of which these are right, by a margin that no normalization undoes."""
    random, (n, languages) = np.random.default_rng(seed), right.shape
    scores = -20 - random.random((n, languages, 4))
    gold = random.integers(4, size=n)
    for row in range(n):
        for column in range(languages):
            best = gold[row] if right[row, column] else (gold[row] + 1) % 4
            scores[row, column, best] = -1.0
    ones = np.ones(scores.shape, dtype=np.int64)
    return BehaviorResult(
        languages=LANGUAGES,
        fact_ids=tuple(f"f{i:03d}" for i in range(n)),
        relations=tuple(f"r{i % 3}" for i in range(n)),
        groups=tuple(f"g{i // 2}" for i in range(n)),
        answers=tuple(f"a{i // 4}" for i in range(n)),
        splits=("test",) * n,
        golds=tuple(("Peru", "Peru" if i % 2 else "Piru", "秘鲁") for i in range(n)),
        aligned=True,
        gold=gold,
        log_probability=scores,
        tokens=ones,
        characters=ones,
        bytes=ones,
        provenance=Provenance(),
    )
