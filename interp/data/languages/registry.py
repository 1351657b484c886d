"""The languages that are known, the names for several of them, and languages that users add."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from interp.characters import visible
from interp.data.languages.hints import hint
from interp.data.languages.parsing import plain_language, read_language
from interp.data.languages.record import Language
from interp.errors import DataError

__all__ = [
    "EMBEDDED_LANGUAGES",
    "LANGUAGES",
    "POLYFACT_LANGUAGES",
    "POLYFACT_UNSEEN_LANGUAGES",
    "added_languages",
    "as_languages",
    "cached_until_registered",
    "language",
    "parse_languages",
    "register_language",
    "register_language_file",
    "requested_languages",
    "resolve_languages",
]

POLYFACT_LANGUAGES = ("en", "de", "id", "pt", "ar", "bn", "sw", "es", "ru", "fr", "ja", "zh")
"""The twelve languages of PolyFact, in its order. Source: https://arxiv.org/abs/2606.06586"""

POLYFACT_UNSEEN_LANGUAGES = ("ca", "nl", "tr", "ko", "uk", "vi", "he", "hu", "fa", "el")
"""Ten that it evaluates and never trains on, in its order."""

EMBEDDED_LANGUAGES = POLYFACT_LANGUAGES + POLYFACT_UNSEEN_LANGUAGES
"""Those of the embedded facts."""

_SHORTHANDS = {
    "polyfact": POLYFACT_LANGUAGES,
    "polyfact-unseen": POLYFACT_UNSEEN_LANGUAGES,
    "all": EMBEDDED_LANGUAGES,
}
_RENAMED = {"paper": "polyfact", "seen": "polyfact", "unseen": "polyfact-unseen"}
_BY_THE_DATA = ("auto", "all")


def _shipped() -> dict[str, Language]:
    files = (resources.files("interp.data.languages") / "known").iterdir()
    records = [read_language(Path(str(file))) for file in files if file.name.endswith(".toml")]
    by_code = {record.code: record for record in records}
    return {
        code: by_code[code] for code in (*EMBEDDED_LANGUAGES, *sorted(set(by_code) - set(EMBEDDED_LANGUAGES)))
    }


LANGUAGES: dict[str, Language] = _shipped()
"""Every known language by code: those of the embedded facts, others, and those that users added."""

_SHIPPED = frozenset(LANGUAGES)
_caches: list[Callable[[], None]] = []
Function = TypeVar("Function", bound=Callable[..., Any])


def cached_until_registered(function: Function) -> Function:
    """Cache what a function makes of the known languages, until another one is added."""
    cached = cache(function)
    _caches.append(cached.cache_clear)
    return cached  # type: ignore[return-value]


def language(code: str) -> Language:
    """Return the language with this code.

    Raises:
        DataError: The code is unknown; the message says which was probably meant, and lists all.
    """
    if code in LANGUAGES:
        return LANGUAGES[code]
    raise DataError(
        f"Unknown language '{visible(code, 40)}'.{hint(code, LANGUAGES)} Choose from: {', '.join(LANGUAGES)}."
    )


def as_languages(languages: str | Iterable[str]) -> tuple[str, ...]:
    """Return the codes of a text such as ``"en,sw"`` (see `parse_languages`) or of a sequence, in their
    order.

    Raises:
        DataError: A code is unknown or appears twice, or a text names nothing.
    """
    if isinstance(languages, str):
        return parse_languages(languages)
    codes = tuple(languages)
    for code in codes:
        language(code)
    twice = [code for code, count in Counter(codes).items() if count > 1]
    if twice:
        raise DataError(f"Language {', '.join(map(repr, twice))} is named more than once. Name each once.")
    return codes


def parse_languages(text: str) -> tuple[str, ...]:
    """Return the codes named in ``"en,sw"``, or by ``polyfact``, ``polyfact-unseen`` or ``all``, in the order
    given.

    ``all`` is here every language of the embedded facts; `resolve_languages` knows which data are meant.

    Raises:
        DataError: Nothing is named, a code is unknown, or one is named twice.
    """
    name = text.strip()
    if name in _SHORTHANDS:
        return _SHORTHANDS[name]
    if name in _RENAMED:
        codes = _SHORTHANDS[_RENAMED[name]]
        raise DataError(f"'{name}' is now '{_RENAMED[name]}': {', '.join(codes)}. Choose from: {_choices()}.")
    codes = tuple(part.strip() for part in text.split(",") if part.strip())
    if not codes:
        raise DataError(f"No language is named. Choose from: {_choices()}.")
    return as_languages(codes)


def requested_languages(languages: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the codes that are named, or None where the data decide: ``auto``, ``all`` and None.

    Raises:
        DataError: See `parse_languages`.
    """
    if languages is None or (isinstance(languages, str) and languages.strip() in _BY_THE_DATA):
        return None
    return as_languages(languages)


def resolve_languages(
    languages: str | Iterable[str], available: Sequence[str], *, embedded: bool = False
) -> tuple[str, ...]:
    """Return the languages to use of data.

    Args:
        languages: Codes as text or sequence; ``polyfact`` or ``polyfact-unseen``; ``all``: all that the data
            has; ``auto``: the same, but of the embedded facts PolyFact's twelve.
        available: The languages that the data has.
        embedded: Whether the data are the embedded facts.

    Raises:
        DataError: See `parse_languages`. Whether the data has the named languages is not checked here.
    """
    codes = requested_languages(languages)
    if codes is not None:
        return codes
    return POLYFACT_LANGUAGES if embedded and str(languages).strip() == "auto" else tuple(available)


def register_language(record: Language, where: str) -> Language:
    """Add a language to the known ones; nothing happens if it is known and described alike.

    Args:
        record: The language.
        where: What describes it, for a message.

    Raises:
        DataError: Its code is that of a known language with another description, or it has a template for a
            relation that English has none for.
    """
    known = LANGUAGES.get(record.code)
    if known is not None and known != record:
        raise DataError(
            f"{visible(where)} describes '{record.code}', which is known as {known.name} with another "
            f"description. Give it another code, such as '{record.code}-x-mine'."
        )
    relations = LANGUAGES["en"].templates
    if unknown := [relation for relation in record.templates if relation not in relations]:
        raise DataError(
            f"{visible(where)} has templates of unknown relations: {visible(', '.join(unknown), 80)}. "
            f"Choose from: {', '.join(relations)}."
        )
    if known is None:
        LANGUAGES[record.code] = record
        for clear in _caches:
            clear()
    return record


def register_language_file(path: str | Path) -> Language:
    """Add the language that a TOML file describes, for this process; see
    `interp.data.languages.record.Language`.

    Raises:
        DataError: The file cannot be read or describes no language, or its code is taken.
    """
    return register_language(read_language(path), str(path))


def added_languages(codes: Iterable[str]) -> list[dict[str, Any]]:
    """Return what describes those of some languages that users added, as plain values."""
    return [plain_language(language(code)) for code in codes if code not in _SHIPPED]


def language_hint(text: str, among: Iterable[str]) -> str:
    """Return a sentence on which of some languages is probably meant by a word, or an empty string."""
    return hint(text, {code: LANGUAGES[code] for code in among})


def _choices() -> str:
    return f"{', '.join(_SHORTHANDS)}, or codes of {', '.join(LANGUAGES)}"
