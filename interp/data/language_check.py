"""Is an answer in the wrong language? Seen by its script, or by the English option that it copies."""

from __future__ import annotations

from collections.abc import Sequence

from interp.characters import script_of
from interp.data.languages import language as known_language
from interp.data.matching import resolve
from interp.data.normalization import normalize

__all__ = ["copies_english", "wrong_language"]


def wrong_language(text: str, language: str, *, threshold: float = 0.5) -> bool:
    """Return whether a text is mostly in a script that its language is not written in.

    More than ``threshold`` (0 to 1) of its letters must be of other scripts; a text without letters is not
    flagged. Only scripts are seen: English in place of Swahili, Persian in place of Arabic, Chinese
    characters in place of Japanese ones and traditional in place of simplified characters pass.
    `copies_english` sees the first of these where the options differ.

    Raises:
        DataError: The language is unknown.
    """
    expected = known_language(language).letters
    letters = [character for character in normalize(text) if character.isalpha()]
    foreign = sum(script_of(character) not in expected for character in letters)
    return foreign > threshold * len(letters)


def copies_english(text: str, english_options: Sequence[str], options: Sequence[str]) -> bool:
    """Return whether a text names an English option that is spelled differently in the language of the
    question.

    It is not flagged when it also names an option in that language, or when both spellings are the same: then
    nobody can tell. An English name that is not among the options goes unseen.

    Args:
        text: The completion.
        english_options: The options in English.
        options: The same options in the language of the question; any order.

    Raises:
        DataError: A list is empty or has an empty name.
    """
    copied = resolve(text, english_options, "en").index
    if copied is None or resolve(text, options, "en").index is not None:
        return False
    return normalize(english_options[copied]) not in map(normalize, options)
