"""Is a label written in the script of its language?"""

from __future__ import annotations

import re

from interp.characters import script_of
from interp.data.languages import language as known_language

_MODIFIER_APOSTROPHE = "\u02bc"
_ACRONYM = re.compile(r"(?<![A-Za-z])[A-Z]{2,4}(?![A-Za-z])")


def foreign_letters(language: str, label: str) -> str:
    """Return the letters of a label that are not in the language's script.

    Two to four Latin capitals are allowed everywhere, since "CFA" is written so in every language; so is the
    Ukrainian apostrophe U+02BC, which Unicode counts as a letter.
    """
    letters = known_language(language).letters
    rest = _ACRONYM.sub("", label)
    return "".join(
        character
        for character in rest
        if character.isalpha() and character != _MODIFIER_APOSTROPHE and script_of(character) not in letters
    )
