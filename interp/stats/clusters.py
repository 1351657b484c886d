"""Groups of facts that are not independent: numbers for their labels, and sums over their facts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int

__all__ = ["cluster_codes", "cluster_totals", "resampled_counts"]


def cluster_codes(labels: Sequence[Hashable]) -> Int[np.ndarray, " fact"]:
    """A number per label, from 0 in order of first appearance."""
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return np.array([number[label] for label in labels], dtype=np.int64)


def cluster_totals(
    parts: Sequence[Float[np.ndarray, "fact cell"]], labels: Sequence[Hashable]
) -> list[Float[np.ndarray, "cluster cell"]]:
    """Sums over the facts of each cluster of several quantities; clusters without any known value are left out.

    A fact counts in a cell where all quantities have a value there; elsewhere it adds 0 to each.
    """
    codes = cluster_codes(labels)
    known = ~np.any(np.isnan(parts), axis=0)
    used = np.unique(codes[known.any(axis=1)])
    found = []
    for values in parts:
        totals = np.zeros((codes.max(initial=-1) + 1, values.shape[1]))
        np.add.at(totals, codes, np.where(known, values, 0))
        found.append(totals[used])
    return found


def resampled_counts(n_clusters: int, draws: int, seed: int) -> Int[np.ndarray, "draw cluster"]:
    """How often each cluster is drawn in each resample; the same of the same number of clusters."""
    share = np.full(n_clusters, 1 / max(n_clusters, 1))
    if not n_clusters:
        return np.zeros((draws, 0), dtype=np.int64)
    return np.random.default_rng(seed).multinomial(n_clusters, share, draws)
