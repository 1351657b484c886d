"""Does this text name that answer? Pure functions of strings, the same for rewards and for evaluation.

A text is read up to the end of its first line, without the word for "answer" before it. Then `normalize` removes what
does not change a name, and a name is looked for at word boundaries. What the scripts and languages need for that is in
``resources/matching.json``.

Limits, all on the side of reading words and not meaning: "not Paris" names Paris. A name that stands with spaces or in
Han characters inside a longer name is told apart only when the longer one is known (an option, or one of ``others``):
"Papua New Guinea" names Guinea. Of case endings only those of the table are known, so "в Париже" does not name Париж.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Literal

from interp.data.characters import visible
from interp.data.languages import LANGUAGES
from interp.data.languages import language as known_language
from interp.data.templates import scaffold
from interp.errors import DataError

__all__ = [
    "Resolution",
    "answer_line",
    "copies_english",
    "first_line",
    "klar_match",
    "names",
    "normalize",
    "resolve",
    "strip_answer_label",
    "wrong_language",
]

Mode = Literal["strict", "boundary", "anywhere"]

_LONGEST_NON_FRAGMENT = 2  # characters; so short a part of a name is in too many names to tell one
_FEWEST_LETTERS = 4  # options are lettered at least a to d, whatever their number
_PART_OF_A_NAME = frozenset("#%&@")  # punctuation at an edge that is kept: C#
_DECORATION = frozenset("`^~|<>=")  # symbols at an edge that are not
_CONNECTORS = frozenset("-・·")  # join two words into one: Guinea-Bissau is not Guinea
_WITHOUT_SPACES = frozenset({"CJK", "HIRAGANA", "IDEOGRAPHIC"})
_OF_ANY_SCRIPT = frozenset({"DIGIT", "COMBINING", "MODIFIER"})
_SCRIPTS = {
    "Latn": {"LATIN"},
    "Cyrl": {"CYRILLIC"},
    "Grek": {"GREEK"},
    "Arab": {"ARABIC"},
    "Hebr": {"HEBREW"},
    "Beng": {"BENGALI"},
    "Kore": {"HANGUL"},
    "Hans": {"CJK", "IDEOGRAPHIC"},
    "Jpan": {"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA"},
}
_KLAR_SEPARATORS = re.compile(r"[\s!-,./:-@\[-`{-~、。，．：；？！…「」『』（）《》〈〉【】“”‘’]+")


@dataclass(frozen=True)
class Resolution:
    """Which option a text names.

    Attributes:
        index: Position of the option, or None when the text names none, or more than one.
        kind: ``exact``: the text is the option. ``contained``: the option stands in the text, or the text is a large
            enough part of it. ``letter``: a bare option letter. ``ambiguous``: several options. ``none``: words that
            name no option. ``empty``: no letter or digit; nothing but white space, punctuation, symbols or a label.
        text: What was compared: first line, no label, normalised.
    """

    index: int | None
    kind: Literal["exact", "contained", "letter", "ambiguous", "none", "empty"]
    text: str


@cache
def _resource() -> dict:
    file = resources.files("interp.data") / "resources" / "matching.json"
    return json.loads(file.read_text(encoding="utf-8"))


@cache
def _same() -> dict[int, str]:
    """The translation table of characters: one form for each, nothing for the optional and the invisible."""
    table = {ord(other): kept for kept, others in _resource()["same"].items() for other in others}
    optional = [0x0307, 0x0640, 0x0670, *range(0x0591, 0x05BE), 0x05BF, 0x05C1, 0x05C2]
    optional += [*range(0x0610, 0x061B), *range(0x064B, 0x0660), *range(0x06D6, 0x06EE)]
    return table | dict.fromkeys(optional, "")


@lru_cache(maxsize=100_000)
def normalize(text: str) -> str:
    """Return a text without what does not change the name in it.

    Unicode NFKC (width, ligatures, Hangul jamo), case folded, the Turkish i's made one; one kind of quote and hyphen;
    Arabic and Hebrew vowel signs, tatweel and invisible characters dropped; Arabic alef, ya and kaf in one form, as
    Persian and Arabic keyboards differ; digits of all scripts as 0 to 9; white space collapsed; punctuation of every
    script trimmed at both ends. Accents stay ("Nigéria" is not "Nigeria"), except in Greek, where capitals are written
    without. Applying it twice changes nothing.
    """
    text = unicodedata.normalize("NFC", text).translate(_same())
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_same())
    text = unicodedata.normalize("NFC", "".join(c for c in text if unicodedata.category(c) != "Cf"))
    return _trimmed(" ".join(text.split()))


def _trimmed(text: str) -> str:
    kept = [at for at, character in enumerate(text) if not _is_edge(character)]
    return text[kept[0] : kept[-1] + 1] if kept else ""


def _is_edge(character: str) -> bool:
    if character in _DECORATION:
        return True
    return character not in _PART_OF_A_NAME and unicodedata.category(character)[0] in "PZ"


def strip_answer_label(text: str, language: str | None = None) -> str:
    """Return a text without the words for "answer" before it, such as ``Answer:`` or ``回答：``.

    A label counts when a colon, a dash, white space or the end follows; longer labels are tried first, and repeated
    ones all go. A label that is also an ordinary word needs the colon: Bengali "উত্তর আমেরিকা" is North America.

    Args:
        text: Any text; it comes back in Unicode NFKC.
        language: Try only the labels of this language and the English ones, where the default is those of all.

    Raises:
        DataError: The language is unknown.
    """
    text, before = unicodedata.normalize("NFKC", text), None
    while text != before:
        before, text = text, _label_pattern(language).sub("", text, count=1)
    return text


@cache
def _label_pattern(language: str | None) -> re.Pattern[str]:
    codes = LANGUAGES if language is None else {known_language(language).code: None, "en": None}
    labels = {label for code in codes for label in _resource()["labels"][code]}
    labels |= {scaffold(code).answer_label.rstrip(" :：").lower() for code in codes}
    short = set(_resource()["labels_before_a_colon"])
    fill = r"[\s*_]*"  # white space and the asterisks of bold print
    plain = f"(?:{_alternatives(labels - short)}){fill}(?:[:：–—-]+{fill}|\\s+|$)"
    strict = f"(?:{_alternatives(short)}){fill}[:：]{fill}"
    return re.compile(f"^[\\s*_#]*(?:{plain}|{strict})", re.IGNORECASE)


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


def names(
    text: str,
    answer: str,
    language: str,
    *,
    mode: Mode = "strict",
    aliases: Iterable[str] = (),
    minimum_coverage: float = 1.0,
) -> bool:
    """Return whether a text names an answer.

    Args:
        text: The completion.
        answer: The expected name.
        language: Its language; decides what may be written onto a name without a space.
        mode: ``strict``: the answer line equals the name after `normalize`. ``boundary``: the name stands in the
            answer line at word boundaries; scripts without spaces (Han, hiragana) have one between any two
            characters, katakana at the ends of a katakana word. ``anywhere``: the name occurs in any line, even
            inside a word.
        aliases: Other names that count as well.
        minimum_coverage: With ``boundary``, a part of the name counts when it is at least this share of its
            characters, 0 to 1, and more than two characters.

    Raises:
        DataError: The language or mode is unknown, a name is empty, or the coverage is out of range.
    """
    if mode not in ("strict", "boundary", "anywhere"):
        raise DataError(f"Unknown mode '{visible(mode)}' of matching. There is: strict, boundary, anywhere.")
    known = _checked_names([answer, *aliases])
    _check_coverage(minimum_coverage)
    known_language(language)
    if mode == "anywhere":
        return any(name in normalize(text) for name in known)
    said = normalize(answer_line(text))
    if said in known or mode == "strict":
        return said in known
    return any(
        _spans(said, name, language)
        or (_is_part(said, name, language) and _covers(said, name, minimum_coverage))
        for name in known
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

    In this order: the text is one option exactly; the text is a bare option letter, which names nothing; exactly one
    option stands in the text at word boundaries, where an occurrence inside that of a longer name does not count
    (Guinea in Equatorial Guinea); the text is part of exactly one option and covers enough of it. Two options side by
    side ("A or B") are ambiguous. The order of the options does not matter.

    Args:
        text: The completion.
        options: The names to choose from.
        language: Their language.
        minimum_coverage: The smallest share of an option's characters that a part of it must have, above 0 to 1.
        others: Names of entities that are not options; an option inside one of them does not count.

    Raises:
        DataError: There are no options, a name is empty after `normalize`, the language is unknown, or the coverage
            is out of range.
    """
    known = _checked_names(options)
    if not known:
        raise DataError("There are no options to choose from. Give at least one.")
    _check_coverage(minimum_coverage)
    known_language(language)
    said = normalize(answer_line(text))
    if exact := [index for index, name in enumerate(known) if name == said]:
        return _verdict(exact, "exact", said)
    if not any(map(str.isalnum, said)):
        return Resolution(None, "empty", said)
    if said in set(string.ascii_lowercase[: max(len(known), _FEWEST_LETTERS)]):
        return Resolution(None, "letter", said)
    if standing := _standing(said, [*known, *_checked_names(others)], language):
        return _verdict([index for index in standing if index < len(known)], "contained", said)
    parted = [index for index, name in enumerate(known) if _is_part(said, name, language)]
    if len(parted) == 1 and not _covers(said, known[parted[0]], minimum_coverage):
        return Resolution(None, "none", said)
    return _verdict(parted, "contained", said)


def _verdict(found: Sequence[int], kind: Literal["exact", "contained"], said: str) -> Resolution:
    if len(found) == 1:
        return Resolution(found[0], kind, said)
    return Resolution(None, "ambiguous" if found else "none", said)


def _checked_names(given: Iterable[str]) -> list[str]:
    given = list(given)
    known = [normalize(name) for name in given]
    for name, kept in zip(given, known, strict=True):
        if not kept:
            raise DataError(
                f"The name '{visible(name)}' is empty once white space and punctuation are trimmed, so no text can "
                f"name it. Every answer and option needs a letter or a digit."
            )
    return known


def _check_coverage(minimum: float) -> None:
    if not 0 < minimum <= 1:
        raise DataError(f"A minimum coverage of {minimum} was asked for; it is a share above 0, at most 1.")


def _standing(said: str, known: Sequence[str], language: str) -> list[int]:
    """The names that stand in a text outside the span of a longer one, by index."""
    spans = [(index, *span) for index, name in enumerate(known) for span in _spans(said, name, language)]
    outermost = {
        index
        for index, start, end, length in spans
        if not any(a <= start and end <= b and length < other for _, a, b, other in spans)
    }
    return sorted(outermost)


def _is_part(said: str, name: str, language: str) -> bool:
    return len(said) > _LONGEST_NON_FRAGMENT and bool(_spans(name, said, language))


def _covers(said: str, name: str, minimum: float) -> bool:
    return len(said) >= minimum * len(name)


def _spans(text: str, name: str, language: str) -> list[tuple[int, int, int]]:
    """Where a name stands in a text, both normalised; it may lack its article.

    Each is the start and end of the words that it fills, with what is written onto it, and its own length.
    """
    article = _resource()["article"].get(language)
    bare = name.removeprefix(article) if article else name
    forms = {name, bare} if len(bare) > _LONGEST_NON_FRAGMENT else {name}
    return [span for form in forms for span in _word_spans(text, form, language)]


def _word_spans(text: str, form: str, language: str) -> list[tuple[int, int, int]]:
    before, after = _affixes("prefixes", language), _affixes("suffixes", language)
    spans, at = [], text.find(form)
    while at >= 0:
        start, end = at, at + len(form)
        while _one_word(text, start):
            start -= 1
        while _one_word(text, end):
            end += 1
        if text[start:at].rstrip("-") in before and text[at + len(form) : end].lstrip("-") in after:
            spans.append((start, end, len(form)))
        at = text.find(form, at + 1)
    return spans


@cache
def _affixes(side: Literal["prefixes", "suffixes"], language: str) -> frozenset[str]:
    return frozenset(["", *map(normalize, _resource()[side].get(language, []))])


def _one_word(text: str, at: int) -> bool:
    """Whether the characters before and at a position belong to one word."""
    if not 0 < at < len(text):
        return False
    left, right = at - 1, at
    left -= text[left] in _CONNECTORS
    right += text[right] in _CONNECTORS
    return left >= 0 and right < len(text) and _joined(text[left], text[right])


@cache
def _joined(left: str, right: str) -> bool:
    if not (_is_word(left) and _is_word(right)):
        return False
    scripts = {_script(left), _script(right)}
    if scripts & _WITHOUT_SPACES:
        return False
    return len(scripts) == 1 or bool(scripts & _OF_ANY_SCRIPT)


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


@cache
def _script(character: str) -> str:
    """The script of a character as its Unicode name begins, such as ``ARABIC`` or ``CJK``."""
    return re.split("[ -]", unicodedata.name(character, ""), maxsplit=1)[0]


def wrong_language(text: str, language: str, *, threshold: float = 0.5) -> bool:
    """Return whether a text is mostly in a script that its language is not written in.

    More than ``threshold`` (0 to 1) of its letters must be of other scripts; a text without letters is not flagged.
    Only scripts are seen: English in place of Swahili, Persian in place of Arabic, Chinese characters in place of
    Japanese ones and traditional in place of simplified characters pass. `copies_english` sees the first of these
    where the options differ.

    Raises:
        DataError: The language is unknown.
    """
    own = _SCRIPTS[known_language(language).script]
    letters = [character for character in normalize(text) if character.isalpha()]
    foreign = sum(_script(character) not in own for character in letters)
    return foreign > threshold * len(letters)


def copies_english(text: str, english_options: Sequence[str], options: Sequence[str]) -> bool:
    """Return whether a text names an English option that is spelled differently in the asked language.

    It is not flagged when it also names an option of the asked language, or when both spellings are the same: then
    nobody can tell. An English name that is not among the options goes unseen.

    Args:
        text: The completion.
        english_options: The options in English.
        options: The same options in the language asked; any order.

    Raises:
        DataError: A list is empty or has an empty name.
    """
    copied = resolve(text, english_options, "en").index
    if copied is None or resolve(text, options, "en").index is not None:
        return False
    return normalize(english_options[copied]) not in map(normalize, options)


def klar_match(prediction: str, gold: str) -> bool:
    """Return whether a prediction is right in the published evaluation of PolyFact on KLAR, for parity only.

    After lower case, NFC and one space for each run of white space, ASCII punctuation except the hyphen, CJK
    punctuation and quotes: the prediction is the gold or begins with it, or the gold is one of its words. So a gold of
    several words counts only at the beginning, and one that begins a longer word counts ("Nigeria" for "Niger").
    `names` is the matcher to use.

    Source: evaluation code of PolyFact, https://arxiv.org/abs/2606.06586. We differ in one case, which its records do
    not contain: nothing matches an empty gold.
    """
    said, wanted = _klar_cleaned(prediction), _klar_cleaned(gold)
    return wanted != "" and (wanted in said.split() or said.startswith(wanted))


def _klar_cleaned(text: str) -> str:
    return _KLAR_SEPARATORS.sub(" ", unicodedata.normalize("NFC", text).lower()).strip()
