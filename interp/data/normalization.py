"""What of a text is compared: its first line without the word for "answer", in one form of each character.

`answer_line` cuts the text, `normalize` removes what does not change a name in it. What a language adds to
that is in its record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from interp.data.languages import LANGUAGES, cached_until_registered
from interp.data.languages import language as known_language
from interp.data.languages.checks import code_points
from interp.data.spelling import respelled

__all__ = ["answer_line", "first_line", "normalize", "strip_answer_label"]

_SAME = {
    "'": "’‘‚‛′ʼʻʹ`´׳",
    '"': "“”„‟″«»‹›״「」『』",
    "-": "‐‑‒–−־﹣－",
    " - ": "—―",
    "·": "‧∙⋅・⸱᛫ㆍ\u119e",
}
"""Marks of all scripts that are one and the same; letters are in the records of languages."""

_PART_OF_A_NAME = frozenset("#%&@")  # punctuation at an edge that is kept: C#
_DECORATION = frozenset("`^~|<>=")  # symbols at an edge that are not


@cached_until_registered
def _table() -> dict[int, str]:
    """The translation table of characters: one form for each, nothing for the optional and the invisible."""
    table = {ord(other): one for one, others in _SAME.items() for other in others}
    for record in LANGUAGES.values():
        matching = record.matching
        table |= {ord(other): one for one, others in matching.same.items() for other in others}
        table |= {ord(digit): str(value) for value, digit in enumerate(matching.digits)}
        table |= {point: "" for notation in matching.ignored for point in code_points(notation)}
    return table


@lru_cache(maxsize=100_000)
def normalize(text: str, language: str | None = None) -> str:
    """Return a text without what does not change the name in it.

    Unicode NFKC (width, ligatures, Hangul jamo), case folded, the Turkish i's made one; one kind of quote and
    hyphen; Arabic and Hebrew vowel signs, tatweel and invisible characters dropped; Arabic alef, ya and kaf
    in one form, as Persian and Arabic keyboards differ; digits of all scripts as 0 to 9; white space
    collapsed; punctuation of every script trimmed at both ends. Accents stay ("Nigéria" is not "Nigeria"),
    except in Greek, where capitals are written without. With a language, also in one of the spellings that it
    does not tell apart (`interp.data.spelling`). Applying it twice changes nothing.
    """
    text = unicodedata.normalize("NFC", text).translate(_table())
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_table())
    text = unicodedata.normalize("NFC", "".join(c for c in text if unicodedata.category(c) != "Cf"))
    return _trimmed(" ".join((respelled(text, language) if language else text).split()))


def _trimmed(text: str) -> str:
    inner = [at for at, character in enumerate(text) if not _is_edge(character)]
    return text[inner[0] : inner[-1] + 1] if inner else ""


def _is_edge(character: str) -> bool:
    if character in _DECORATION:
        return True
    return character not in _PART_OF_A_NAME and unicodedata.category(character)[0] in "PZ"


def strip_answer_label(text: str, language: str | None = None) -> str:
    """Return a text without the words for "answer" before it, such as ``Answer:`` or ``回答：``.

    A label counts when a colon, a dash, white space or the end follows; longer labels are tried first, and
    repeated ones all go. A label that is also an ordinary word needs the colon: Bengali "উত্তর আমেরিকা" is
    North America.

    Args:
        text: Any text; it comes back in Unicode NFKC.
        language: Try only the labels of this language and the English ones, where the default is those of
            all.

    Raises:
        DataError: The language is unknown.
    """
    text, before = unicodedata.normalize("NFKC", text), None
    while text != before:
        before, text = text, _label_pattern(language).sub("", text, count=1)
    return text


@cached_until_registered
def _label_pattern(language: str | None) -> re.Pattern[str]:
    codes = LANGUAGES if language is None else dict.fromkeys((known_language(language).code, "en"))
    labels = {label for each in codes for label in _labels(each)}
    before_a_colon = {
        label for record in LANGUAGES.values() for label in record.matching.labels_before_a_colon
    }
    fill = r"[\s*_]*"  # white space and the asterisks of bold print
    plain = f"(?:{_alternatives(labels - before_a_colon)}){fill}(?:[:：–—-]+{fill}|\\s+|$)"
    strict = f"(?:{_alternatives(before_a_colon)}){fill}[:：]{fill}"
    return re.compile(f"^[\\s*_#]*(?:{plain}|{strict})", re.IGNORECASE)


def _labels(code: str) -> Iterator[str]:
    record = LANGUAGES[code]
    yield from record.matching.answer_labels
    if record.prompt_format is not None:
        yield record.prompt_format.answer_label.rstrip(" :：").lower()


def _alternatives(words: Iterable[str]) -> str:
    return "|".join(
        re.escape(unicodedata.normalize("NFKC", word)) for word in sorted(words, key=len, reverse=True)
    )


def first_line(text: str) -> str:
    """Return the first line that has more than white space, stripped; an empty string if there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def answer_line(text: str, language: str | None = None) -> str:
    """Return the part of a completion that is read as the answer: the first line after any answer label."""
    return first_line(strip_answer_label(text, language))
