"""Single characters: those that must not hide in a label or in a message, and the script of a letter."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from interp.characters import INVISIBLE_CONTROLS, control_characters, has_control, is_control, visible

__all__ = [
    "INVISIBLE_CONTROLS",
    "control_characters",
    "has_control",
    "is_control",
    "script_of",
    "visible",
]


@cache
def script_of(character: str) -> str:
    """Return the script of a character as its Unicode name begins, such as ``ARABIC`` or ``CJK``."""
    return re.split("[ -]", unicodedata.name(character, ""), maxsplit=1)[0]
