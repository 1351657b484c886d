"""How much two sets have in common."""

from __future__ import annotations

import numpy as np

__all__ = ["jaccard"]


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """|A and B| / |A or B| of two boolean masks or index arrays; NaN if both are empty.

    Index arrays are taken as sets; masks must have the same shape.
    """
    if a.dtype == bool and b.dtype == bool:
        union = np.logical_or(a, b).sum()
        return float(np.logical_and(a, b).sum() / union) if union else float("nan")
    union = np.union1d(a, b).size
    return float(np.intersect1d(a, b).size / union) if union else float("nan")
