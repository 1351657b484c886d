"""Is a label written in the script of its language?"""

from __future__ import annotations

import re
import unicodedata

from interp.data.languages import LANGUAGES

_NAMES = {
    "Latn": ("LATIN",),
    "Arab": ("ARABIC",),
    "Beng": ("BENGALI",),
    "Cyrl": ("CYRILLIC",),
    "Grek": ("GREEK",),
    "Hebr": ("HEBREW",),
    "Hans": ("CJK",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA"),
    "Kore": ("HANGUL",),
}
_MODIFIER_APOSTROPHE = "\u02bc"
_ACRONYM = re.compile(r"(?<![A-Za-z])[A-Z]{2,4}(?![A-Za-z])")


def foreign_letters(language: str, label: str) -> str:
    """Return the letters of a label that are not in the language's script.

    Two to four Latin capitals are allowed everywhere, since "CFA" is written so in every language; so is the Ukrainian
    apostrophe U+02BC, which Unicode counts as a letter.
    """
    names = _NAMES[LANGUAGES[language].script]
    rest = _ACRONYM.sub("", label)
    return "".join(
        character
        for character in rest
        if character.isalpha()
        and character != _MODIFIER_APOSTROPHE
        and not unicodedata.name(character, "").startswith(names)
    )
