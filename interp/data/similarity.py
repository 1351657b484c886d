"""How texts are made comparable: folding of case and accents, pairs of neighboring characters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=100_000)
def fold(text: str) -> str:
    """Return a text without case and accents, recomposed: single letters of Hangul would agree by chance."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


def bigrams(text: str) -> set[str]:
    """Return the pairs of neighboring characters in a text."""
    return {text[i : i + 2] for i in range(len(text) - 1)}
