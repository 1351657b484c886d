"""The languages, one record each: a file in ``known``, or one that a user gives."""

from interp.data.languages.classes import language_classes
from interp.data.languages.parsing import parse_language
from interp.data.languages.record import Language, Matching, PromptFormat
from interp.data.languages.registry import (
    EMBEDDED_LANGUAGES,
    LANGUAGES,
    POLYFACT_LANGUAGES,
    POLYFACT_UNSEEN_LANGUAGES,
    added_languages,
    as_languages,
    cached_until_registered,
    language,
    language_hint,
    parse_languages,
    register_language,
    register_language_file,
    requested_languages,
    resolve_languages,
)

__all__ = [
    "EMBEDDED_LANGUAGES",
    "LANGUAGES",
    "POLYFACT_LANGUAGES",
    "POLYFACT_UNSEEN_LANGUAGES",
    "Language",
    "Matching",
    "PromptFormat",
    "added_languages",
    "as_languages",
    "cached_until_registered",
    "language",
    "language_classes",
    "language_hint",
    "parse_language",
    "parse_languages",
    "register_language",
    "register_language_file",
    "requested_languages",
    "resolve_languages",
]
