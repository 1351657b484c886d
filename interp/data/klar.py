"""The published matcher of PolyFact on KLAR, kept to compare with its numbers; `interp.data.matching` is ours."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["klar_match"]

_KLAR_SEPARATORS = re.compile(r"[\s!-,./:-@\[-`{-~、。，．：；？！…「」『』（）《》〈〉【】“”‘’]+")


def klar_match(prediction: str, gold: str) -> bool:
    """Return whether a prediction is right in the published evaluation of PolyFact on KLAR, for parity only.

    After lower case, NFC and one space for each run of white space, ASCII punctuation except the hyphen, CJK
    punctuation and quotes: the prediction is the gold or begins with it, or the gold is one of its words. So a gold of
    several words counts only at the beginning, and one that begins a longer word counts ("Nigeria" for "Niger").
    `interp.data.matching.names` is the matcher to use.

    Source: evaluation code of PolyFact, https://arxiv.org/abs/2606.06586. We differ in one case, which its records do
    not contain: nothing matches an empty gold.
    """
    said, wanted = _klar_cleaned(prediction), _klar_cleaned(gold)
    return wanted != "" and (wanted in said.split() or said.startswith(wanted))


def _klar_cleaned(text: str) -> str:
    return _KLAR_SEPARATORS.sub(" ", unicodedata.normalize("NFC", text).lower()).strip()
