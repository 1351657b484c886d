"""Whether a lens can tell the answers of languages apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from interp.errors import MeasurementError, nearest

__all__ = ["require_separable"]


def require_separable(
    overlap: Bool[np.ndarray, "fact language language"],
    clean: Bool[np.ndarray, "fact language"],
    languages: Sequence[str],
    pivot: str,
) -> None:
    """Refuse a pivot that is not there, or a language of which no fact is told apart from it.

    Raises:
        MeasurementError: Names the languages.
    """
    if pivot not in languages:
        raise MeasurementError(
            f"The pivot '{pivot}' is not one of the languages "
            f"{' '.join(languages)}.{nearest(pivot, languages)}"
        )
    if len(languages) < 2:
        raise MeasurementError(f"One language ({pivot}); a lens compares at least one other with the pivot.")
    at = list(languages).index(pivot)
    for own, code in enumerate(languages):
        apart = clean[:, own] & ~overlap[:, own, own] & ((own == at) | ~overlap[:, own, at])
        if not apart.any():
            reason = (
                f"the answers in '{code}' and '{pivot}' begin with the same tokens, or one contains the other"
            )
            if not clean[:, own].any():
                reason = "the tokenizer joins the end of the prompt with its answer"
            raise MeasurementError(
                f"No token set separates '{code}' from '{pivot}' in any of {len(overlap)} items: {reason}. "
                "Leave out the language, or take other prompts or a narrower rule for tokens ('first')."
            )
