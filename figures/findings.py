"""Which of everything that a figure shows is found: marks that are right however many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interp.stats import ALPHA, family_wise

__all__ = ["MARKED", "found"]

MARKED = "Holm p < .05 over {n:,} {cells}"
"""What a mark means, for a legend."""


def found(p_values: Sequence[np.ndarray], cells: str) -> tuple[list[np.ndarray], str]:
    """Which tests are findings when all of them, of every panel, are corrected together (Holm).

    Args:
        p_values: Of each panel; NaN where there is no test.
        cells: What one test is of, in the plural.

    Returns:
        Masks in the shapes of the p, and what a mark means.
    """
    family = family_wise({str(i): p for i, p in enumerate(p_values)}, cells)
    masks = [np.nan_to_num(family.adjusted[str(i)], nan=1.0) < ALPHA for i in range(len(p_values))]
    return masks, MARKED.format(n=family.n, cells=cells)
