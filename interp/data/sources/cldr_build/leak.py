"""Does the name of a subject give away a name among the options?"""

from __future__ import annotations

import re
from functools import cache

from interp.characters import script_of
from interp.data.languages import language as known_language
from interp.data.similarity import bigrams, fold

_BREAKS = re.compile(r"[\s\-‑–—'’.,/&]+")
_SYLLABLES = frozenset({"CJK", "HANGUL"})  # letters that hold a syllable or a word each
_ARABIC_ARTICLE = "ال"  # Persian has it in names that are Arabic


def leaks(language: str, subject: str, option: str) -> bool:
    """Return whether a string match links subject and option.

    One stands inside the other (Indonesian "Kroasia" holds "Asia"). Or, in Chinese, Japanese and Korean: two
    characters in a row in common, or the same first ideograph. Elsewhere: two words that begin with the same
    four letters, or with the same three when that leaves one letter or none of the shorter.
    """
    record = known_language(language)
    one, other = fold(subject), fold(option)
    if one in other or other in one:
        return True
    if _SYLLABLES & set(record.letters):
        return _share_characters(one, other)
    return any(_share_start(a, b) for a in _words(one, record.script) for b in _words(other, record.script))


def _share_characters(one: str, other: str) -> bool:
    if bigrams(one) & bigrams(other):
        return True
    return one[:1] == other[:1] and script_of(one[:1]) == "CJK"


@cache
def _words(text: str, script: str) -> list[str]:
    words = [word for word in _BREAKS.split(text) if word]
    return [word.removeprefix(_ARABIC_ARTICLE) for word in words] if script == "Arab" else words


def _share_start(one: str, other: str) -> bool:
    common = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return common >= 4 or (common >= 3 and common >= min(len(one), len(other)) - 1)
