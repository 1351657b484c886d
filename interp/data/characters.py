"""Single characters: those that must not hide in a label or in a message, and the script of a letter."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

INVISIBLE_CONTROLS = frozenset(
    "\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\ufeff\ufff9\ufffa\ufffb"
)
"""Directional controls, zero-width space, word joiner, invisible operators and byte-order mark.

The zero-width joiners U+200C and U+200D are not here, since Persian and Bengali spelling needs them; nor is
the soft hyphen that some labels have.
"""

_CONTROLS = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{''.join(sorted(INVISIBLE_CONTROLS))}]")


def is_control(character: str) -> bool:
    """Return whether a character is a control code, a line separator, a surrogate or an invisible control."""
    return character in INVISIBLE_CONTROLS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def has_control(text: str) -> bool:
    """Return whether a text has a control character."""
    return _CONTROLS.search(text) is not None


def control_characters(text: str) -> list[str]:
    """Return the control characters in a text as ``U+202E`` names, each once, in order of appearance."""
    return [f"U+{ord(character):04X}" for character in dict.fromkeys(_CONTROLS.findall(text))]


def visible(text: object, limit: int = 200) -> str:
    """Return a text for an error message: controls written as escapes, cut to ``limit`` characters."""
    text = str(text)
    shown = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return "".join(f"\\u{ord(character):04x}" if is_control(character) else character for character in shown)


@cache
def script_of(character: str) -> str:
    """Return the script of a character as its Unicode name begins, such as ``ARABIC`` or ``CJK``."""
    return re.split("[ -]", unicodedata.name(character, ""), maxsplit=1)[0]
