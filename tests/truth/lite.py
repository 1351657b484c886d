"""Published scores on Global-MMLU-Lite, from the excerpt or from the full file."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from tests.support.published import needs_full_files, read_excerpt, read_full
from tests.truth.excerpts import LITE, scores_of

BASE, SFT = LITE[:2]
SOURCES = pytest.mark.parametrize("source", ["excerpt", pytest.param("full", marks=needs_full_files)])


class Lite(NamedTuple):
    """One model's file: what it states, and its items in the order of fact ids, as the authors resample
    them."""

    stated: dict
    languages: tuple[str, ...]
    scores: np.ndarray  # [fact, language, option]
    correct: np.ndarray  # [fact, language], as the published evaluation counts


@cache
def lite(name: str, source: str) -> Lite:
    """The file of a model; of an excerpt the scores have the published order and no other meaning."""
    if source == "excerpt":
        data = read_excerpt(f"global_mmlu_lite/{name}.json")
        correct = np.array([[letter == "1" for letter in column] for column in data["correct"]]).T
        return Lite(data, tuple(data["per_language_accuracy"]), scores_of(data["orders"]), correct)
    data = read_full(f"global_mmlu_lite/{name}.json")
    languages, facts = tuple(data["per_language_accuracy"]), sorted(data.pop("predictions").items())
    scores = np.array([[fact[code]["scores"] for code in languages] for _, fact in facts], dtype=float)
    chosen = np.array([[fact[code]["pred_idx"] for code in languages] for _, fact in facts])
    assert (scores.argmax(axis=2) == chosen).all()
    correct = np.array([[fact[code]["correct"] for code in languages] for _, fact in facts])
    return Lite(data, languages, scores, correct)


@cache
def told_gold(source: str) -> np.ndarray:
    """The gold option [fact] that right answers tell in all languages but Chinese; -1 where no model is
    right."""
    files = [lite(name, source) for name in (BASE, SFT)]
    told = np.stack([np.where(file.correct, file.scores.argmax(axis=2), -1) for file in files])
    return np.delete(told, files[0].languages.index("zh"), axis=2).max(axis=(0, 2))
