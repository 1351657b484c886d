"""When two texts are one to a reader: what sets them apart cannot be seen, or is no more than case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

__all__ = ["equal_pairs", "hidden_characters", "plain"]

_WIDE = re.compile("[\uff00-\uffef]")
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


@lru_cache(maxsize=2**16)
def plain(text: str) -> str:
    """Return a text in one form of everything that does not set two names apart.

    Case folded, composed as in Unicode NFC, full and half width made one, white space collapsed and trimmed,
    characters without width dropped: zero-width spaces and joiners, soft hyphens, directional controls,
    variation selectors.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    text = _WIDE.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    return " ".join(_UNSEEN.sub("", text).split())


def equal_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of a text and of the first one before it that is the same to a reader."""
    first: dict[str, int] = {}
    for position, text in enumerate(texts):
        before = first.setdefault(plain(text), position)
        if before != position:
            yield before, position


def hidden_characters(text: str) -> list[str]:
    """Return the characters of a text that are not seen, each once, as ``U+200D``."""
    return [f"U+{ord(character):04X}" for character in dict.fromkeys(_UNSEEN.findall(text))]
