"""Do translations meet: retrieval, mutual (MEXA) and each way, and linear CKA, from one vector per prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from interp.errors import DataError
from probes.alignment_results import AlignmentResult, AlignmentSettings, kinds_of_pairs
from probes.cka import cka_of_all
from probes.collect import Activations

__all__ = ["measure_alignment", "retrieved", "unit_vectors"]

_TIE = 1e-7  # cosines nearer than float32 activations can tell apart are equal
_ROWS = 2048  # queries compared at a time: similarities of many facts never exist all at once

Progress = Callable[[int, int], None]


def measure_alignment(
    activations: Activations,
    settings: AlignmentSettings | None = None,
    *,
    progress: Progress | None = None,
) -> AlignmentResult:
    """Compare all pairs of languages at every layer.

    Args:
        activations: One vector per layer, prompt and language: the positions ``weighted`` or ``last`` for
            MEXA.
        settings: What was asked of the layers; what the activations were read with counts before it.
        progress: Called with layers done and layers in all.

    Raises:
        DataError: There is one language, or one prompt in each.
    """
    prompts = activations.prompts
    if len(prompts.languages) < 2:
        raise DataError(f"One language ({prompts.languages[0]}); alignment compares at least 2.")
    first = prompts.prompts[prompts.languages[0]]
    if len(first) < 2:
        raise DataError("One prompt in each language; retrieval among at least 2 is compared.")
    hits, similar, parts, shuffled = [], [], [], []
    for index in range(len(activations.layers)):
        vectors = [np.asarray(v, dtype=np.float64) for v in np.moveaxis(activations.values[index], 1, 0)]
        hits.append(
            [
                _all_pairs([unit_vectors(v) for v in vectors]),
                _all_pairs([unit_vectors(v, center=True) for v in vectors]),
            ]
        )
        similarity, floor = cka_of_all(vectors)
        similar.append(similarity.mean(axis=-1))
        parts.append([similarity[pairs].mean(axis=0) for pairs in kinds_of_pairs(prompts.languages).values()])
        shuffled.append(floor)
        if progress:
            progress(index + 1, len(activations.layers))
    provenance = activations.provenance
    read: dict[str, Any] = {
        name: provenance.settings[name] for name in ("positions", "site") if name in provenance.settings
    }
    decided: dict[str, Any] = {**provenance.settings, **(settings or AlignmentSettings()).stored(), **read}
    return AlignmentResult(
        languages=prompts.languages,
        fact_ids=tuple(p.item_id for p in first),
        groups=tuple(p.group for p in first),
        layers=activations.layers,
        retrieved=np.moveaxis(np.array(hits), 1, 0),
        cka=np.stack(similar),
        cka_parts=np.moveaxis(np.array(parts), 1, 0),
        cka_shuffled=np.stack(shuffled),
        provenance=replace(provenance, settings=decided),
    )


def unit_vectors(
    x: Float[np.ndarray, "fact model"], *, center: bool = False
) -> Float[np.ndarray, "fact model"]:
    """Scale every vector to length one; with ``center``, take the mean over facts off first.

    A vector that is nothing but rounding becomes zero, and its cosine with everything 0.
    """
    moved = x - x.mean(axis=0) if center else x
    length, before = (np.linalg.norm(v, axis=1, keepdims=True) for v in (moved, x))
    there = length > 1e-6 * before
    return np.where(there, moved / np.where(there, length, 1), 0)


def retrieved(
    a: Float[np.ndarray, "fact model"], b: Float[np.ndarray, "fact model"]
) -> tuple[Bool[np.ndarray, " fact"], Bool[np.ndarray, " fact"]]:
    """For each fact: does its ``a`` find its own ``b`` among all, and its ``b`` its own ``a``?

    With cosines S_ij of unit vectors, fact i is found from a when S_ii > max over j != i of S_ij, and from b
    when S_ii > max over j != i of S_ji. Strict: a tie, to 1e-7, is not found. MEXA counts the facts found
    both ways.

    Source: Kargaran et al. (2024), MEXA, https://arxiv.org/abs/2410.05873 (cisnlp/MEXA). They keep vectors in
    float16 and have no tolerance, and they read the last layer after the final norm, `probes.collect` before
    it.
    """
    own = np.einsum("fm,fm->f", a, b)
    best_b, best_a = np.empty(len(a)), np.full(len(b), -np.inf)
    for start in range(0, len(a), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(a)))
        cosine = a[rows] @ b.T
        cosine[rows - start, rows] = -np.inf
        best_b[rows] = cosine.max(axis=1)
        best_a = np.maximum(best_a, cosine.max(axis=0))
    return own > best_b + _TIE, own > best_a + _TIE


def _all_pairs(vectors: Sequence[np.ndarray]) -> Bool[np.ndarray, "fact query target"]:
    n = len(vectors)
    hits = np.ones((len(vectors[0]), n, n), dtype=bool)
    for i in range(n):
        for j in range(i + 1, n):
            hits[:, i, j], hits[:, j, i] = retrieved(vectors[i], vectors[j])
    return hits
