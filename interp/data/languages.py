"""The languages this project knows: code, name, script and resource class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from interp.data.characters import visible
from interp.errors import DataError, nearest


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes:
        code: ISO 639-1 code.
        name: English name.
        script: ISO 15924 code of the script it is usually written in, such as ``Latn``.
        resource: ``high`` or ``low``. In the paper's twelve, low is id, bn, sw. In the others, low is class 3 or less
            in the taxonomy of Joshi et al. (2020), which is uk, he and el here.
            Source: https://aclanthology.org/2020.acl-main.560
        seen: Whether it is one of the twelve languages of the paper.
    """

    code: str
    name: str
    script: str
    resource: str
    seen: bool


_TABLE = """
en English    Latn high seen
de German     Latn high seen
id Indonesian Latn low  seen
pt Portuguese Latn high seen
ar Arabic     Arab high seen
bn Bengali    Beng low  seen
sw Swahili    Latn low  seen
es Spanish    Latn high seen
ru Russian    Cyrl high seen
fr French     Latn high seen
ja Japanese   Jpan high seen
zh Chinese    Hans high seen
ca Catalan    Latn high unseen
nl Dutch      Latn high unseen
tr Turkish    Latn high unseen
ko Korean     Kore high unseen
uk Ukrainian  Cyrl low  unseen
vi Vietnamese Latn high unseen
he Hebrew     Hebr low  unseen
hu Hungarian  Latn high unseen
fa Persian    Arab high unseen
el Greek      Grek low  unseen
"""


def _parse_table(table: str) -> dict[str, Language]:
    rows = (line.split() for line in table.strip().splitlines())
    return {
        code: Language(code, name, script, resource, seen == "seen")
        for code, name, script, resource, seen in rows
    }


LANGUAGES: dict[str, Language] = _parse_table(_TABLE)
"""Every known language by code: the paper's twelve, then ten that it never trained on."""

PAPER_LANGUAGES: tuple[str, ...] = tuple(code for code, known in LANGUAGES.items() if known.seen)
UNSEEN_LANGUAGES: tuple[str, ...] = tuple(code for code, known in LANGUAGES.items() if not known.seen)

_SHORTHANDS = {
    "polyfact": PAPER_LANGUAGES,
    "polyfact-unseen": UNSEEN_LANGUAGES,
    "paper": PAPER_LANGUAGES,
    "unseen": UNSEEN_LANGUAGES,
    "all": tuple(LANGUAGES),
}


def language(code: str) -> Language:
    """Return the language with this code.

    Raises:
        DataError: The code is unknown; the message names the nearest one and lists all.
    """
    if code in LANGUAGES:
        return LANGUAGES[code]
    raise DataError(
        f"Unknown language '{visible(code)}'.{nearest(code, LANGUAGES)} Known: {' '.join(LANGUAGES)}."
    )


def parse_languages(text: str) -> tuple[str, ...]:
    """Return the codes named in ``"en,sw"``, or in ``paper``, ``unseen`` or ``all``, in the order given.

    Raises:
        DataError: Nothing is named, a code is unknown, or one is named twice.
    """
    if text.strip() in _SHORTHANDS:
        return _SHORTHANDS[text.strip()]
    codes = tuple(part.strip() for part in text.split(",") if part.strip())
    if not codes:
        raise DataError("No language was named. Give codes such as 'en,sw', or paper, unseen or all.")
    return checked_languages(codes)


def checked_languages(codes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the codes when all are known and none is repeated.

    Raises:
        DataError: A code is unknown or appears twice.
    """
    for code in codes:
        language(code)
    twice = [code for code, count in Counter(codes).items() if count > 1]
    if twice:
        raise DataError(f"Language {', '.join(map(repr, twice))} is named more than once. Name each once.")
    return tuple(codes)


def resolve_languages(text: str, available: tuple[str, ...], *, embedded: bool = False) -> tuple[str, ...]:
    """Return the codes that are named; ``auto``: those available, of the embedded facts the paper's twelve."""
    if text.strip() == "auto":
        return PAPER_LANGUAGES if embedded else available
    return parse_languages(text)


def language_classes(languages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Classes that accuracies are averaged over: name to its languages among these, if it has any."""
    known = {code: LANGUAGES[code] for code in languages if code in LANGUAGES}
    classes = {
        "high-resource": [code for code, each in known.items() if each.resource == "high"],
        "low-resource": [code for code, each in known.items() if each.resource == "low"],
        "PolyFact's": [code for code, each in known.items() if each.seen],
        "not PolyFact's": [code for code, each in known.items() if not each.seen],
    }
    return {name: tuple(codes) for name, codes in classes.items() if codes}


def register_language_file(file: object) -> None:
    """Read a language of the user's."""
    raise DataError(f"{file} cannot be read yet.")
