"""Intervals of shares."""

from __future__ import annotations

from scipy import stats

__all__ = ["wilson"]


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share, ``correct`` of ``n`` independent trials (scipy); within 0 to 1 at any count."""
    low, high = stats.binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return float(low), float(high)
