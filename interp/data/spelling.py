"""Spellings of one name that a language does not tell apart, made one before texts and names are compared.

Only what does not change how a word is read: none of it joins two names, and none of it translates. A rule
takes a text in which case and Unicode form are already one, and applying it twice changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

from interp.data.chinese import simplified

__all__ = ["respelled", "variants"]

_JOINER = "\u200c"
_TONES = "\u0300\u0301\u0303\u0309\u0323"  # grave, acute, tilde, hook, dot below
_OPEN_SYLLABLE = re.compile(
    f"(o(?=[{_TONES}][ae])|u(?=[{_TONES}]y)|(?<=q)u(?=[{_TONES}][aeiou]))([{_TONES}])(.)"
)
_DOTS = "·•"  # the others are one with the first: see ``same`` in resources/matching.json
_KANA_OR_HAN = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
_DOT_IN_A_NAME = re.compile(f"(?<=[{_KANA_OR_HAN}])[{_DOTS}=゠](?=[{_KANA_OR_HAN}])")
_GEMINATE = re.compile(f"(?<=l)[{_DOTS}.](?=l)")


def respelled(text: str, language: str) -> str:
    """Return a text in one spelling of those that a language does not tell apart."""
    rule = _RULES.get(language)
    return rule(text) if rule else text


def variants(text: str, language: str) -> tuple[str, ...]:
    """Return a text in each way that its invisible joiners can be read.

    In Persian the zero-width non-joiner stands between the parts of a word; as often they are written with a
    space between them, or with nothing.
    """
    if language == "fa" and _JOINER in text:
        return text.replace(_JOINER, ""), text.replace(_JOINER, " ")
    return (text,)


def _vietnamese(text: str) -> str:
    """Tone marks on the second of two vowels (hoà, thuỷ), not on the first (hòa, thủy); đ for ð."""
    apart = unicodedata.normalize("NFD", text.replace("ð", "đ").replace("ɖ", "đ"))
    return unicodedata.normalize("NFC", _OPEN_SYLLABLE.sub(r"\1\3\2", apart))


def _russian(text: str) -> str:
    """Е for ё, whose dots are mostly left out."""
    return text.replace("ё", "е")


def _bengali(text: str) -> str:
    """Khanda ta as ta with hasanta, as it was encoded before Unicode 4.1."""
    return text.replace("ৎ", "ত্")


def _japanese(text: str) -> str:
    """No dot or double hyphen between the parts of a foreign name."""
    return _DOT_IN_A_NAME.sub("", text)


def _chinese(text: str) -> str:
    """Simplified characters, and no dot between the parts of a foreign name."""
    return simplified(_DOT_IN_A_NAME.sub("", text))


def _catalan(text: str) -> str:
    """A middle dot between two l, where a full stop or a bullet is typed for it."""
    return _GEMINATE.sub("·", text)


_RULES: Mapping[str, Callable[[str], str]] = {
    "bn": _bengali,
    "ca": _catalan,
    "ja": _japanese,
    "ru": _russian,
    "vi": _vietnamese,
    "zh": _chinese,
}
