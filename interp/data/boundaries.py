"""Where a name stands in a text: at word boundaries, as far as each script has them, with what is written
onto it.

All texts and names are normalized. The articles, prefixes and suffixes of each language are in its record; of
case endings only those are known, so "в Париже" does not name Париж.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from interp.characters import script_of
from interp.data.languages import LANGUAGES, cached_until_registered
from interp.data.languages import language as known_language
from interp.data.normalization import normalize

__all__ = ["is_part", "name_spans", "standing_names"]

_LONGEST_NON_FRAGMENT = 2  # characters; so short a part of a name is in too many names to tell one
_CONNECTORS = frozenset("-・·")  # join two words into one: Guinea-Bissau is not Guinea
_OF_ANY_SCRIPT = frozenset({"DIGIT", "COMBINING", "MODIFIER"})


def standing_names(text: str, names: Sequence[str], language: str) -> list[int]:
    """The names that stand in a text outside the span of a longer one, by index."""
    spans = [(index, *span) for index, name in enumerate(names) for span in name_spans(text, name, language)]
    outermost = {
        index
        for index, start, end, length in spans
        if not any(a <= start and end <= b and length < other for _, a, b, other in spans)
    }
    return sorted(outermost)


def is_part(text: str, name: str, language: str) -> bool:
    """Whether a text is a part of a name that stands at its word boundaries and is long enough to tell it."""
    return len(text) > _LONGEST_NON_FRAGMENT and bool(name_spans(name, text, language))


def name_spans(text: str, name: str, language: str) -> list[tuple[int, int, int]]:
    """Where a name stands in a text, both normalized; it may lack its article.

    Each is the start and end of the words that it fills, with what is written onto it, and its own length.
    """
    article = known_language(language).matching.article
    bare = name.removeprefix(article)
    forms = {name, bare} if len(bare) > _LONGEST_NON_FRAGMENT else {name}
    return [span for form in forms for span in _word_spans(text, form, language)]


def _word_spans(text: str, form: str, language: str) -> list[tuple[int, int, int]]:
    before, after = _affixes(language)
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


@cached_until_registered
def _affixes(language: str) -> tuple[frozenset[str], frozenset[str]]:
    """What may stand before and after a name within its word."""
    matching = known_language(language).matching
    return _normal(matching.prefixes, language), _normal(matching.suffixes, language)


def _normal(affixes: Iterable[str], language: str) -> frozenset[str]:
    return frozenset(["", *(normalize(affix, language) for affix in affixes)])


def _one_word(text: str, at: int) -> bool:
    """Whether the characters before and at a position belong to one word."""
    if not 0 < at < len(text):
        return False
    left, right = at - 1, at
    left -= text[left] in _CONNECTORS
    right += text[right] in _CONNECTORS
    return left >= 0 and right < len(text) and _joined(text[left], text[right])


@cached_until_registered
def _joined(left: str, right: str) -> bool:
    if not (_is_word(left) and _is_word(right)):
        return False
    scripts = {script_of(left), script_of(right)}
    if scripts & _without_spaces():
        return len(scripts) == 1 and _one_syllable(left, right)
    return len(scripts) == 1 or bool(scripts & _OF_ANY_SCRIPT)


def _one_syllable(left: str, right: str) -> bool:
    """Whether no word ends between two letters of a script without spaces: a consonant and its vowel sign."""
    records = LANGUAGES.values()
    return unicodedata.category(right)[0] == "M" or any(
        left in record.matching.joins_next or right in record.matching.joins_previous for record in records
    )


@cached_until_registered
def _without_spaces() -> frozenset[str]:
    return frozenset(script for record in LANGUAGES.values() for script in record.unspaced)


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"
