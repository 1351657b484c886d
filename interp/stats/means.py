"""Means, ratios and shares of values that may be missing (NaN) or sum to nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Numbers = np.ndarray | np.number | float

__all__ = ["by_cell", "known_mean", "ratio", "shares_of_total"]


def by_cell(values: np.ndarray) -> np.ndarray:
    """Values per fact and cell, ``[fact, cell]`` in float64, however many axes the cells have, or none."""
    return values.reshape(len(values), math.prod(values.shape[1:])).astype(np.float64)


def known_mean(values: np.ndarray, axis: int | None = None) -> Any:
    """Mean of what is not NaN, in float64: over an axis, or of everything. NaN where nothing is known."""
    known = ~np.isnan(values)
    if axis is None:
        return float(values[known].mean(dtype=np.float64)) if known.any() else float("nan")
    return ratio(np.where(known, values, 0).sum(axis=axis, dtype=np.float64), known.sum(axis=axis))


def ratio(above: Numbers, below: Numbers) -> np.ndarray:
    """Above / below, broadcast; NaN where ``below`` is not above zero."""
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def shares_of_total(weights: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Each weight's share of their sum over the axes, 0 to 1; 0 where that is 0, NaN where it is NaN."""
    total = weights.sum(axis=axis, keepdims=True)
    return np.divide(weights, total, out=np.zeros(weights.shape), where=~(total <= 0))
