"""Spellings of one name that a language does not tell apart, made one before texts and names are compared.

Only what does not change how a word is read: none of it joins two names, and none of it translates. What a
language does not tell apart stands in its record; characters that are one in every language are there too, as
``same``, and `interp.data.normalization` sees to them. Applying a rule twice changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from interp.characters import script_of
from interp.data.chinese import simplified
from interp.data.languages import cached_until_registered
from interp.data.languages import language as known_language
from interp.data.languages.checks import code_points

__all__ = ["respelled", "variants"]


def respelled(text: str, language: str) -> str:
    """Return a text, of which case and Unicode form are one already, in one spelling of each name.

    Written as the record's ``spellings`` have it, without the record's ``name_dots`` between two letters of
    the language, and in simplified characters where that is the script.
    """
    for rule in _rules(language):
        text = rule(text)
    return text


def variants(text: str, language: str) -> tuple[str, ...]:
    """Return a text in each way that the record's ``joiners`` can be read: as nothing, and as a space.

    In Persian the zero-width non-joiner stands between the parts of a word; as often they are written with a
    space between them, or with nothing.
    """
    joiners = _joiners(language)
    if joiners and joiners.search(text):
        return joiners.sub("", text), joiners.sub(" ", text)
    return (text,)


@cached_until_registered
def _rules(language: str) -> tuple[Callable[[str], str], ...]:
    record = known_language(language)
    rules: list[Callable[[str], str]] = []
    if spellings := {_composed(one): _composed(other) for one, other in record.matching.spellings.items()}:
        longest_first = sorted(spellings, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, longest_first)))
        rules.append(lambda text: pattern.sub(lambda match: spellings[match[0]], text))
    if record.matching.name_dots:
        rules.append(_without_dots(record.matching.name_dots, frozenset(record.letters)))
    if record.script == "Hans":
        rules.append(simplified)
    return tuple(rules)


def _without_dots(dots: str, letters: frozenset[str]) -> Callable[[str], str]:
    pattern = re.compile(f"(?<=(.))[{re.escape(dots)}](?=(.))")

    def between(match: re.Match[str]) -> str:
        return "" if {script_of(match[1]), script_of(match[2])} <= letters else match[0]

    return lambda text: pattern.sub(between, text)


@cached_until_registered
def _joiners(language: str) -> re.Pattern[str] | None:
    notations = known_language(language).matching.joiners
    points = "".join(chr(point) for notation in notations for point in code_points(notation))
    return re.compile(f"[{re.escape(points)}]") if points else None


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
