"""What is wrong with a language's record although every value has the right type."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from interp.characters import script_of, visible
from interp.data.languages.record import CONFIDENCES, RESOURCES, Language, Matching, PromptFormat

__all__ = ["RESERVED", "code_points", "problems_of"]

RESERVED = ("auto", "all", "polyfact", "polyfact-unseen")
"""Words that stand for several languages."""

_CODE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
_SCRIPT = re.compile(r"[A-Z][a-z]{3}")
_POINTS = re.compile(r"U\+([0-9A-F]{4,6})(?:-U\+([0-9A-F]{4,6}))?")
_N_INSTRUCTIONS = 4


def problems_of(record: Language) -> Iterator[str]:
    """Yield what is wrong with a record."""
    yield from _name_problems(record)
    yield from _letter_problems(record)
    if record.prompt_format is not None:
        yield from _format_problems(record.prompt_format)
    yield from _template_problems(record)
    for both, forms in record.particles.items():
        if len(forms) != 2:
            yield (
                f"particles.{both}: expected two forms, after a consonant and after a vowel, found "
                f"{len(forms)}"
            )
    yield from _matching_problems(record.matching)


def code_points(notation: str) -> range:
    """Return the code points of ``U+0640`` or ``U+064B-U+065F``; none if it is something else."""
    match = _POINTS.fullmatch(notation)
    return range(int(match[1], 16), int(match[2] or match[1], 16) + 1) if match else range(0)


def _name_problems(record: Language) -> Iterator[str]:
    if not _CODE.fullmatch(record.code) or record.code in RESERVED:
        yield (
            f"code is '{visible(record.code, 40)}', expected two or three small letters such as 'th', with "
            f"'-' and more for a variety; not {', '.join(RESERVED)}"
        )
    if not _SCRIPT.fullmatch(record.script):
        yield f"script is '{visible(record.script, 40)}', expected a code of ISO 15924 such as 'Latn'"
    if record.resource not in RESOURCES:
        yield f"resource is '{visible(record.resource, 40)}', expected {' or '.join(RESOURCES)}"
    for key in ("name", "endonym"):
        if not getattr(record, key).strip():
            yield f"{key} is empty"


def _letter_problems(record: Language) -> Iterator[str]:
    if not record.letters:
        yield (
            "letters is empty, expected the first words of the Unicode names of its letters, such as 'LATIN'"
        )
    foreign = {script_of(c) for c in record.endonym if c.isalpha()} - set(record.letters)
    if record.letters and foreign:
        yield (
            f"endonym '{visible(record.endonym, 40)}' has letters of {_listed(foreign)}, letters lists "
            f"{_listed(record.letters)}"
        )
    if others := set(record.unspaced) - set(record.letters):
        yield f"unspaced has {_listed(others)}, which letters lacks"


def _format_problems(words: PromptFormat) -> Iterator[str]:
    if not _has_one(words.question, "{q}"):
        yield f"prompt_format.question is '{visible(words.question, 60)}', expected a text with one {{q}}"
    if not words.answer_label.endswith((":", "：")):
        yield (
            f"prompt_format.answer_label is '{visible(words.answer_label, 60)}', expected a word and a colon"
        )
    if len(words.instructions) not in (0, _N_INSTRUCTIONS):
        yield (
            f"prompt_format.instructions has {len(words.instructions)} lines, expected {_N_INSTRUCTIONS} or "
            "none"
        )


def _template_problems(record: Language) -> Iterator[str]:
    for relation, template in record.templates.items():
        if not _has_one(template, "{s}"):
            yield f"templates.{relation} is '{visible(template, 60)}', expected a question with one {{s}}"
    if unknown := set(record.confidence) - set(CONFIDENCES):
        yield f"confidence has {_listed(unknown)}, expected {', '.join(CONFIDENCES)}"
    rated = Counter(relation for relations in record.confidence.values() for relation in relations)
    wrong = [
        relation
        for relation in {*rated, *record.templates}
        if rated[relation] != (relation in record.templates)
    ]
    if wrong:
        yield f"confidence: each relation that has a template is expected once; see {_listed(wrong)}"


def _has_one(text: str, place: str) -> bool:
    return text.count(place) == 1 and not set("{}") & set(text.replace(place, ""))


def _matching_problems(matching: Matching) -> Iterator[str]:
    for character, others in matching.same.items():
        if any(other.isascii() for other in others):
            yield (
                f"matching.same: '{visible(character)}' = '{visible(others, 40)}' replaces a character of "
                "ASCII"
            )
    for notation in matching.ignored:
        points = code_points(notation)
        if not points or min(points) < 128:
            yield (
                f"matching.ignored has '{visible(notation, 40)}', expected U+064B or U+064B-U+065F, beyond "
                "ASCII"
            )
    for sequence, other in matching.spellings.items():
        if not sequence.strip() or any(each in other for each in matching.spellings):
            yield (
                f"matching.spellings: '{visible(sequence, 40)}' = '{visible(other, 40)}', expected a text to "
                "another one in which nothing is left to spell"
            )
    if any(character.isalnum() or character.isspace() for character in matching.name_dots):
        yield f"matching.name_dots is '{visible(matching.name_dots, 40)}', expected marks, no letters"
    for notation in matching.joiners:
        if any(unicodedata.category(chr(point)) != "Cf" for point in code_points(notation) or [0]):
            yield f"matching.joiners has '{visible(notation, 40)}', expected U+200C or the like"
    if matching.digits and [unicodedata.decimal(d, -1) for d in matching.digits] != list(range(10)):
        yield f"matching.digits is '{visible(matching.digits, 40)}', expected ten digits from zero to nine"
    for label in matching.labels_before_a_colon:
        if label not in matching.answer_labels:
            yield f"matching.labels_before_a_colon has '{visible(label, 40)}', which answer_labels lacks"


def _listed(names: Sequence[str] | set[str] | list[str]) -> str:
    return visible(", ".join(sorted(names)), 120)
