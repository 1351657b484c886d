"""Characters that must not hide: in a label, in a message, or from whoever reads a terminal."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

__all__ = [
    "INVISIBLE_CONTROLS",
    "control_characters",
    "has_control",
    "is_control",
    "script_of",
    "visible",
]

INVISIBLE_CONTROLS = frozenset(
    "\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\ufeff\ufff9\ufffa\ufffb"
)
"""Directional controls, zero-width space, word joiner, invisible operators and byte-order mark.

The zero-width joiners U+200C and U+200D are not here, since Persian and Bengali spelling needs them; nor is
the soft hyphen that some labels have.
"""

_CONTROLS = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{''.join(sorted(INVISIBLE_CONTROLS))}]")
_UNSEEN = ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp")  # categories
_BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # letters and marks that nothing is drawn for
_JOINERS = "\u200c\u200d"
_JOINED = (
    "ARABIC",
    "SYRIAC",
    "MONGOLIAN",
    "DEVANAGARI",
    "BENGALI",
    "GURMUKHI",
    "GUJARATI",
    "ORIYA",
    "TAMIL",
    "TELUGU",
    "KANNADA",
    "MALAYALAM",
    "SINHALA",
    "KHMER",
    "MYANMAR",
)
_PLAIN = re.compile("[ -~]*", re.ASCII)


def is_control(character: str) -> bool:
    """Return whether a character is a control code, a line separator, a surrogate or an invisible control."""
    return character in INVISIBLE_CONTROLS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def has_control(text: str) -> bool:
    """Return whether a text has a control character."""
    return _CONTROLS.search(text) is not None


def control_characters(text: str) -> list[str]:
    """Return the control characters in a text as ``U+202E`` names, each once, in order of appearance."""
    return [f"U+{ord(character):04X}" for character in dict.fromkeys(_CONTROLS.findall(text))]


def visible(text: object, limit: int | None = 200, *, keep: str = "") -> str:
    """Return a text that can be shown: what moves a cursor, turns a line or is not seen becomes an escape.

    A zero-width joiner stays within a word of a script that is spelled with it.

    Args:
        text: Of any source.
        limit: Characters after which it is cut; None for never.
        keep: Characters that stay as they are, such as line breaks.
    """
    text = str(text)
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]}... ({len(text)} characters)"
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        character if character in keep or _is_seen(text, at) else _escape(character)
        for at, character in enumerate(text)
    )


def _is_seen(text: str, at: int) -> bool:
    character = text[at]
    if character in _JOINERS:
        around = (text[at - 1 : at], text[at + 1 : at + 2])
        return all(each and unicodedata.name(each, "").startswith(_JOINED) for each in around)
    return character not in _BLANKS and unicodedata.category(character) not in _UNSEEN


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@cache
def script_of(character: str) -> str:
    """Return the script of a character as its Unicode name begins, such as ``ARABIC`` or ``CJK``."""
    return re.split("[ -]", unicodedata.name(character, ""), maxsplit=1)[0]
