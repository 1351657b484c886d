"""What somebody probably means who names a language by another word than its code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from interp.data.languages.record import Language

__all__ = ["hint"]

_SUBTAG = re.compile(r"[-_.@]")


def hint(text: str, known: Mapping[str, Language]) -> str:
    """Return a sentence after a space, or an empty string.

    A name (``English``, ``swahili``), another code (``jp``, ``eng``) and a locale (``zh-CN``, ``pt_BR``) lead
    to the code; a script to the languages that are written in it; anything else to the nearest code or name.
    """
    if record := _by_word(text, known):
        return f" Did you mean '{record.code}' ({record.name})?"
    first, *rest = _SUBTAG.split(text.strip())
    if rest and (record := known.get(first.lower()) or _by_word(first, known)):
        return (
            f" Did you mean '{record.code}'? It is {record.name} in the script {record.script}; regions and "
            "scripts are not told apart."
        )
    if in_script := [code for code, record in known.items() if record.script.lower() == text.strip().lower()]:
        return f" That is a script; in it are written {', '.join(in_script)}."
    words = {word: code for code, record in known.items() for word in (code, record.name.lower())}
    closest = get_close_matches(text.strip().lower(), words, n=1)
    return f" Did you mean '{words[closest[0]]}' ({known[words[closest[0]]].name})?" if closest else ""


def _by_word(text: str, known: Mapping[str, Language]) -> Language | None:
    word = text.strip().casefold()
    return next((record for record in known.values() if word in _words(record)), None)


def _words(record: Language) -> set[str]:
    return {word.casefold() for word in (record.code, record.name, record.endonym, *record.other_codes)}
