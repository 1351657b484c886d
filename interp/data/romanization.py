"""Texts in Latin letters, by uroman: one table and one set of rules for all scripts."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from interp.data.languages import PromptFormat, language
from interp.errors import CapabilityError

__all__ = ["require_romanizer", "romanized", "romanized_format"]


def require_romanizer() -> None:
    """Refuse to romanize where uroman is missing, before anything is read.

    Raises:
        CapabilityError: It is not installed.
    """
    try:
        import uroman  # noqa: F401
    except ImportError as error:
        raise CapabilityError(
            "The control 'romanized' needs uroman: pip install 'interp[romanize]'."
        ) from error


@lru_cache(maxsize=2**17)
def romanized(text: str, code: str) -> str:
    """Return a text in Latin letters without diacritics; white space at its ends stays as it is.

    Written vowels only (Arabic, Hebrew), Han characters by their Mandarin reading in every language, and no
    spaces where the script has none. What has no letters, such as a year, stays as it is.

    Args:
        text: In any script.
        code: Of its language, whose own letters may be read in another way.

    Raises:
        CapabilityError: uroman is not installed.

    Source: Hermjakob, May & Knight (2018), Out-of-the-box Universal Romanization Tool uroman,
    https://aclanthology.org/P18-4003
    """
    bare = text.strip()
    if not bare or bare.isascii():
        return text
    start = text.index(bare)
    lines = [_romanizer().romanize_string(line, lcode=_code(code)).strip() for line in bare.split("\n")]
    return text[:start] + "\n".join(lines) + text[start + len(bare) :]


def romanized_format(words: PromptFormat, code: str) -> PromptFormat:
    """Return the words around a question and its answer in Latin letters, with a space after a colon."""
    before, after = words.question.split("{q}")
    label = romanized(before, code)
    label += " " if before.endswith("：") else ""
    return PromptFormat(
        f"{label}{{q}}{romanized(after, code)}",
        romanized(words.answer_label, code),
        tuple(romanized(line, code) for line in words.instructions),
    )


@cache
def _romanizer() -> Any:
    require_romanizer()
    from uroman import Uroman

    return Uroman()


@cache
def _code(code: str) -> str | None:
    """ISO 639-3 of a language, by which uroman knows it."""
    known = language(code)
    return next((each for each in (known.code, *known.other_codes) if len(each) == 3), None)
