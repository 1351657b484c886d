"""Results of probes from guesses and labels."""

from __future__ import annotations

import numpy as np

from interp.results.base import Provenance
from probes.results import ProbeResult

LANGUAGES = ("en", "sw", "ja")


def probe_result(
    correct: np.ndarray, labels: np.ndarray, *, joint: bool = False, strata=None, groups=None, **changes
) -> ProbeResult:
    """A result with these guesses [offset, layer, train, test, fact] of these labels [fact, language]."""
    n, n_languages = labels.shape
    languages = LANGUAGES[:n_languages]
    return ProbeResult(
        **{
            "languages": languages,
            "fact_ids": tuple(f"f{i:03d}" for i in range(n)),
            "groups": tuple(groups or (f"g{i}" for i in range(n))),
            "strata": tuple(strata or [""] * n),
            "task": "language" if joint else "right",
            "classes": ("0", "1", "2"),
            "layers": tuple(range(-1, correct.shape[1] - 1)),
            "trained_on": ("all",) if joint else languages,
            "offsets": ("raw",) if joint else ("raw", "centered"),
            "labels": labels,
            "control_labels": labels,
            "folds": np.where((labels >= 0).any(axis=1), np.arange(n) % 2, -1),
            "correct": correct.astype(np.int8),
            "control": np.where(correct < 0, -1, 0).astype(np.int8),
            "left_out": (),
            "provenance": Provenance(checkpoint="made"),
            **changes,
        }
    )


def random_probe_result(seed: int = 0, n: int = 40, **options) -> ProbeResult:
    random = np.random.default_rng(seed)
    labels = (random.random((n, 3)) < 0.3).astype(np.int64)
    return probe_result(random.integers(2, size=(2, 3, 3, 3, n)), labels, **options)
