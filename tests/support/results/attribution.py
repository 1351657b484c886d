"""Estimates of patching from numbers that we give."""

from __future__ import annotations

import numpy as np

from interp.results.attribution import AttributionResult
from tests.support.results import provenance

CODES = ("en", "sw", "ja")
SPANS = ("subject_last", "last")
BLOCKS = 4
CELLS = np.array([[2, 3, 1], [0, 0, 0], [1, 2, 1], [0, 1, 0], [2, 0, 0], [1, 1, 1]])


def attribution_result(
    values: np.ndarray,
    effects: np.ndarray | None = None,
    *,
    top: int = 0,
    cells: np.ndarray | None = None,
    per_group: int = 2,
    name: str = "a",
) -> AttributionResult:
    """The result of estimates [fact, language, layer, unit, position], NaN where a fact has no pair.

    The control's are a tenth of them. Effects [fact, language, cell] are of the given cells.
    """
    n_facts, n_languages, *shape = values.shape
    groups = np.arange(n_facts) // per_group
    sums = np.zeros((2, n_languages, BLOCKS, *shape), dtype=np.float32)
    counts = np.zeros((2, n_languages, BLOCKS, shape[2]), dtype=np.int64)
    there = ~np.isnan(values).any(axis=(2, 3, 4))
    for f, a in np.argwhere(there):
        block = groups[f] % BLOCKS
        for run, share in enumerate((1, 0.1)):
            sums[run, a, block] += share * values[f, a]
            counts[run, a, block] += 1
    cells = np.zeros((0, 3), dtype=np.int64) if cells is None else cells
    runs = np.where(there, 1.0, np.nan)[..., None]
    return AttributionResult(
        languages=CODES[:n_languages],
        fact_ids=tuple(f"f{i:03d}" for i in range(n_facts)),
        groups=tuple(f"g{g}" for g in groups),
        mode="within",
        sources=(),
        unit="heads",
        positions=SPANS[: shape[2]],
        metrics=("logit_diff",),
        left_out=np.where(there, 0, 1),
        clean=2 * runs,
        corrupt=-runs,
        counts=counts,
        sums=sums,
        cells=cells,
        top=top,
        estimated=values[:, :, *cells.T],
        effects=values[:, :, *cells.T] if effects is None else effects,
        provenance=provenance(name),
    )


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def gaps(n_facts: int = 24, n_languages: int = 3, seed: int = 0) -> np.ndarray:
    """Estimates of 3 layers x 4 units x 2 positions, some facts without a pair in a language."""
    values = noise(n_facts, n_languages, 3, 4, 2, seed=seed)
    values[np.random.default_rng(seed + 1).random((n_facts, n_languages)) < 0.3] = np.nan
    return values
