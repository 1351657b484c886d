"""Does this text name that answer? Pure functions of strings, the same for rewards and for evaluation.

The answer line of a text (`interp.data.normalization`) is compared with each name, and a name is looked for
in it at word boundaries (`interp.data.boundaries`).

Limits, all on the side of reading words and not meaning: "not Paris" names Paris. A name that stands with
spaces or in Han characters inside a longer name is told apart only when the longer one is known (an option,
or one of ``others``): "Papua New Guinea" names Guinea. Of case endings only those of the table are known, so
"в Париже" does not name Париж.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from interp.data.boundaries import is_part, name_spans, standing_names
from interp.data.characters import visible
from interp.data.languages import language as known_language
from interp.data.normalization import answer_line, normalize
from interp.errors import DataError

__all__ = ["Resolution", "mentions", "resolve"]

Mode = Literal["strict", "boundary", "anywhere"]

_FEWEST_LETTERS = 4  # options are lettered at least a to d, whatever their number


@dataclass(frozen=True)
class Resolution:
    """Which option a text names.

    Attributes:
        index: Position of the option, or None when the text names none, or more than one.
        kind: ``exact``: the text is the option. ``contained``: the option stands in the text, or the text is
            a large enough part of it. ``letter``: a bare option letter. ``ambiguous``: several options.
            ``none``: words that name no option. ``empty``: no letter or digit; nothing but white space,
            punctuation, symbols or a label.
        text: What was compared: first line, no label, normalized.
    """

    index: int | None
    kind: Literal["exact", "contained", "letter", "ambiguous", "none", "empty"]
    text: str


def mentions(
    text: str,
    answer: str,
    language: str,
    *,
    mode: Mode = "strict",
    aliases: Iterable[str] = (),
    minimum_coverage: float = 1.0,
) -> bool:
    """Return whether a text mentions an answer.

    Args:
        text: The completion.
        answer: The expected name.
        language: Its language; decides what may be written onto a name without a space.
        mode: ``strict``: the answer line equals the name after `normalize`. ``boundary``: the name stands in
            the answer line at word boundaries; scripts without spaces (Han, hiragana) have one between any
            two characters, katakana at the ends of a katakana word. ``anywhere``: the name occurs in any
            line, even inside a word.
        aliases: Other names that count as well.
        minimum_coverage: With ``boundary``, a part of the name counts when it is at least this share of its
            characters, 0 to 1, and more than two characters.

    Raises:
        DataError: The language or mode is unknown, a name is empty, or the coverage is out of range.
    """
    if mode not in ("strict", "boundary", "anywhere"):
        raise DataError(
            f"Unknown mode '{visible(mode)}' of matching. Choose from: strict, boundary, anywhere."
        )
    names = _checked_names([answer, *aliases])
    _check_coverage(minimum_coverage)
    known_language(language)
    if mode == "anywhere":
        return any(name in normalize(text) for name in names)
    line = normalize(answer_line(text))
    if line in names or mode == "strict":
        return line in names
    return any(
        name_spans(line, name, language)
        or (is_part(line, name, language) and _covers(line, name, minimum_coverage))
        for name in names
    )


def resolve(
    text: str,
    options: Sequence[str],
    language: str,
    *,
    minimum_coverage: float = 0.5,
    others: Sequence[str] = (),
) -> Resolution:
    """Return which of the options a text names.

    In this order: the text is one option exactly; the text is a bare option letter, which names nothing;
    exactly one option stands in the text at word boundaries, where an occurrence inside that of a longer name
    does not count (Guinea in Equatorial Guinea); the text is part of exactly one option and covers enough of
    it. Two options side by side ("A or B") are ambiguous. The order of the options does not matter.

    Args:
        text: The completion.
        options: The names to choose from.
        language: Their language.
        minimum_coverage: The smallest share of an option's characters that a part of it must have, above 0 to
            1.
        others: Names of entities that are not options; an option inside one of them does not count.

    Raises:
        DataError: There are no options, a name is empty after `normalize`, the language is unknown, or the
            coverage is out of range.
    """
    names = _checked_names(options)
    if not names:
        raise DataError("There are no options to choose from. Give at least one.")
    _check_coverage(minimum_coverage)
    known_language(language)
    line = normalize(answer_line(text))
    if exact := [index for index, name in enumerate(names) if name == line]:
        return _verdict(exact, "exact", line)
    if not any(map(str.isalnum, line)):
        return Resolution(None, "empty", line)
    if line in set(string.ascii_lowercase[: max(len(names), _FEWEST_LETTERS)]):
        return Resolution(None, "letter", line)
    if standing := standing_names(line, [*names, *_checked_names(others)], language):
        return _verdict([index for index in standing if index < len(names)], "contained", line)
    parted = [index for index, name in enumerate(names) if is_part(line, name, language)]
    if len(parted) == 1 and not _covers(line, names[parted[0]], minimum_coverage):
        return Resolution(None, "none", line)
    return _verdict(parted, "contained", line)


def _verdict(indices: Sequence[int], kind: Literal["exact", "contained"], line: str) -> Resolution:
    if len(indices) == 1:
        return Resolution(indices[0], kind, line)
    return Resolution(None, "ambiguous" if indices else "none", line)


def _checked_names(given: Iterable[str]) -> list[str]:
    given = list(given)
    names = [normalize(name) for name in given]
    for name, normal in zip(given, names, strict=True):
        if not normal:
            raise DataError(
                f"The name '{visible(name)}' is empty once white space and punctuation are trimmed, so no "
                f"text can name it. Every answer and option needs a letter or a digit."
            )
    return names


def _check_coverage(minimum: float) -> None:
    if not 0 < minimum <= 1:
        raise DataError(f"The minimum coverage is {minimum}; a share above 0, at most 1, is expected.")


def _covers(line: str, name: str, minimum: float) -> bool:
    return len(line) >= minimum * len(name)
