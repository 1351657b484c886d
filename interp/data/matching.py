"""Does this text name that answer? Pure functions of strings, the same for rewards and for evaluation.

The answer line of a text (`interp.data.normalization`) is compared with each name, and a name is looked for
in it at word boundaries (`interp.data.boundaries`).

What a language does not tell apart is one (`interp.data.spelling`): ё and е, hòa and hoà, traditional and
simplified characters.

Limits, all on the side of reading words and not meaning: "not Paris" names Paris. A name that stands with
spaces or in Han characters inside a longer name is told apart only when the longer one is known (an option,
or one of ``others``): "Papua New Guinea" names Guinea. Of case endings only those of the table are known, so
"в Париже" does not name Париж.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from interp.characters import visible
from interp.data.boundaries import is_part, name_spans, standing_names
from interp.data.languages import language as known_language
from interp.data.normalization import answer_line, normalize
from interp.data.spelling import variants
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
    known_language(language)
    names = {form for forms in _checked_names([answer, *aliases], language) for form in forms}
    _check_coverage(minimum_coverage)
    if mode == "anywhere":
        return any(name in whole for whole in _forms(text, language) for name in names)
    lines = _forms(answer_line(text), language)
    if names & {*lines} or mode == "strict":
        return bool(names & {*lines})
    return any(
        name_spans(line, name, language)
        or (is_part(line, name, language) and _covers(line, name, minimum_coverage))
        for line in lines
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
    known_language(language)
    names = _checked_names(options, language)
    if not names:
        raise DataError("There are no options to choose from. Give at least one.")
    _check_coverage(minimum_coverage)
    names += _checked_names(others, language)
    readings = _forms(answer_line(text), language)
    return _agreed([_resolved(line, names, len(options), language, minimum_coverage) for line in readings])


def _agreed(readings: list[Resolution]) -> Resolution:
    """What the readings of a text name together: an exact one wins, and two that differ are ambiguous."""
    exact = [each for each in readings if each.kind == "exact"]
    naming = exact or [each for each in readings if each.kind in ("contained", "ambiguous")]
    if len({each.index for each in naming}) > 1:
        return Resolution(None, "ambiguous", readings[0].text)
    return (naming or readings)[0]


def _resolved(
    line: str, names: list[tuple[str, ...]], n_options: int, language: str, coverage: float
) -> Resolution:
    """Resolve a normalized line to one of the first names, each in its forms."""
    forms = [(index, form) for index, each in enumerate(names) for form in each]
    options = [(index, form) for index, form in forms if index < n_options]
    if exact := {index for index, form in options if form == line}:
        return _verdict(exact, "exact", line)
    if not any(map(str.isalnum, line)):
        return Resolution(None, "empty", line)
    if line in set(string.ascii_lowercase[: max(n_options, _FEWEST_LETTERS)]):
        return Resolution(None, "letter", line)
    if standing := standing_names(line, [form for _, form in forms], language):
        return _verdict({forms[at][0] for at in standing} & {*range(n_options)}, "contained", line)
    parted = [(index, form) for index, form in options if is_part(line, form, language)]
    if len({index for index, _ in parted}) == 1 and not any(
        _covers(line, form, coverage) for _, form in parted
    ):
        return Resolution(None, "none", line)
    return _verdict({index for index, _ in parted}, "contained", line)


def _verdict(indices: Collection[int], kind: Literal["exact", "contained"], line: str) -> Resolution:
    if len(indices) == 1:
        return Resolution(next(iter(indices)), kind, line)
    return Resolution(None, "ambiguous" if indices else "none", line)


def _forms(text: str, language: str) -> tuple[str, ...]:
    """A text normalized, in each way that its invisible joiners can be read."""
    return tuple(dict.fromkeys(normalize(each, language) for each in variants(text, language)))


def _checked_names(given: Iterable[str], language: str) -> list[tuple[str, ...]]:
    """Names in their forms."""
    given = list(given)
    names = [_forms(name, language) for name in given]
    for name, forms in zip(given, names, strict=True):
        if not all(forms):
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
