"""Single characters: those that must not hide in a label or in a message, and the script of a letter."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

INVISIBLE_CONTROLS = frozenset(
    "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
"""Directional controls, zero-width space and byte-order mark. The zero-width joiners U+200C and U+200D are
not here: Persian and Bengali spelling needs them."""


def is_control(character: str) -> bool:
    """Return whether a character is a control code, a surrogate or an invisible directional control."""
    return character in INVISIBLE_CONTROLS or unicodedata.category(character) in ("Cc", "Cs")


def control_characters(text: str) -> list[str]:
    """Return the control characters in a text as ``U+202E`` names, each once, in order of appearance."""
    return [f"U+{ord(character):04X}" for character in dict.fromkeys(text) if is_control(character)]


def visible(text: object, limit: int = 200) -> str:
    """Return a text for an error message: controls written as escapes, cut to ``limit`` characters."""
    text = str(text)
    shown = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return "".join(f"\\u{ord(character):04x}" if is_control(character) else character for character in shown)


@cache
def script_of(character: str) -> str:
    """Return the script of a character as its Unicode name begins, such as ``ARABIC`` or ``CJK``."""
    return re.split("[ -]", unicodedata.name(character, ""), maxsplit=1)[0]
