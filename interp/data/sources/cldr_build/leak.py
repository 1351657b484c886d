"""Does the name of a subject give away a name among the options?"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from interp.data.languages import LANGUAGES
from interp.data.similarity import bigrams, fold

_BREAKS = re.compile(r"[\s\-‑–—'’.,/&]+")
_WHOLE = ("Jpan", "Hans", "Kore")
_ARABIC_ARTICLE = "ال"


def leaks(language: str, subject: str, option: str) -> bool:
    """Return whether a string match links subject and option.

    One stands inside the other (Indonesian "Kroasia" holds "Asia"). Or, in Chinese, Japanese and Korean: two characters
    in a row in common, or the same first ideograph. Elsewhere: two words that begin with the same four letters, or with
    the same three when that leaves one letter or none of the shorter.
    """
    script = LANGUAGES[language].script
    one, other = fold(subject), fold(option)
    if one in other or other in one:
        return True
    if script in _WHOLE:
        return _share_characters(one, other, same_start=script != "Kore")
    return any(_share_start(a, b) for a in _words(one, script) for b in _words(other, script))


def _share_characters(one: str, other: str, same_start: bool) -> bool:
    if bigrams(one) & bigrams(other):
        return True
    return same_start and one[:1] == other[:1] and unicodedata.name(one[:1], "").startswith("CJK")


@cache
def _words(text: str, script: str) -> list[str]:
    words = [word for word in _BREAKS.split(text) if word]
    return [word.removeprefix(_ARABIC_ARTICLE) for word in words] if script == "Arab" else words


def _share_start(one: str, other: str) -> bool:
    common = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return common >= 4 or (common >= 3 and common >= min(len(one), len(other)) - 1)
