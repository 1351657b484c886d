"""Where a name stands in a text: at word boundaries, as far as each script has them, with what is written onto it.

All texts and names are normalized. The articles, prefixes and suffixes of each language are in
``resources/matching.json``; of case endings only those are known, so "в Париже" does not name Париж.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Literal

from interp.data.normalization import matching_resource, normalize

__all__ = ["is_part", "name_spans", "script_of", "standing_names"]

_LONGEST_NON_FRAGMENT = 2  # characters; so short a part of a name is in too many names to tell one
_CONNECTORS = frozenset("-・·")  # join two words into one: Guinea-Bissau is not Guinea
_WITHOUT_SPACES = frozenset({"CJK", "HIRAGANA", "IDEOGRAPHIC"})
_OF_ANY_SCRIPT = frozenset({"DIGIT", "COMBINING", "MODIFIER"})


def standing_names(said: str, known: Sequence[str], language: str) -> list[int]:
    """The names that stand in a text outside the span of a longer one, by index."""
    spans = [(index, *span) for index, name in enumerate(known) for span in name_spans(said, name, language)]
    outermost = {
        index
        for index, start, end, length in spans
        if not any(a <= start and end <= b and length < other for _, a, b, other in spans)
    }
    return sorted(outermost)


def is_part(said: str, name: str, language: str) -> bool:
    """Whether a text is a part of a name that stands at its word boundaries and is long enough to tell it."""
    return len(said) > _LONGEST_NON_FRAGMENT and bool(name_spans(name, said, language))


def name_spans(text: str, name: str, language: str) -> list[tuple[int, int, int]]:
    """Where a name stands in a text, both normalized; it may lack its article.

    Each is the start and end of the words that it fills, with what is written onto it, and its own length.
    """
    article = matching_resource()["article"].get(language)
    bare = name.removeprefix(article) if article else name
    forms = {name, bare} if len(bare) > _LONGEST_NON_FRAGMENT else {name}
    return [span for form in forms for span in _word_spans(text, form, language)]


def _word_spans(text: str, form: str, language: str) -> list[tuple[int, int, int]]:
    before, after = _affixes("prefixes", language), _affixes("suffixes", language)
    spans, at = [], text.find(form)
    while at >= 0:
        start, end = at, at + len(form)
        while _one_word(text, start):
            start -= 1
        while _one_word(text, end):
            end += 1
        if text[start:at].rstrip("-") in before and text[at + len(form) : end].lstrip("-") in after:
            spans.append((start, end, len(form)))
        at = text.find(form, at + 1)
    return spans


@cache
def _affixes(side: Literal["prefixes", "suffixes"], language: str) -> frozenset[str]:
    affixes = matching_resource()[side].get(language, [])
    return frozenset(["", *(normalize(affix, language) for affix in affixes)])


def _one_word(text: str, at: int) -> bool:
    """Whether the characters before and at a position belong to one word."""
    if not 0 < at < len(text):
        return False
    left, right = at - 1, at
    left -= text[left] in _CONNECTORS
    right += text[right] in _CONNECTORS
    return left >= 0 and right < len(text) and _joined(text[left], text[right])


@cache
def _joined(left: str, right: str) -> bool:
    if not (_is_word(left) and _is_word(right)):
        return False
    scripts = {script_of(left), script_of(right)}
    if scripts & _WITHOUT_SPACES:
        return False
    return len(scripts) == 1 or bool(scripts & _OF_ANY_SCRIPT)


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


@cache
def script_of(character: str) -> str:
    """The script of a character as its Unicode name begins, such as ``ARABIC`` or ``CJK``."""
    return re.split("[ -]", unicodedata.name(character, ""), maxsplit=1)[0]
