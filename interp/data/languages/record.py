"""The record of one language: everything that differs between languages, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase

__all__ = ["CONFIDENCES", "RESOURCES", "Language", "Matching", "PromptFormat"]

RESOURCES = ("high", "low")
CONFIDENCES = ("high", "medium", "low")


@dataclass(frozen=True)
class PromptFormat:
    """The words around a question and its answer.

    Attributes:
        question: Format with one ``{q}``, such as ``Question: {q}``.
        answer_label: What stands before the answer, such as ``Answer:``.
        instructions: Four lines for a question with options: what follows, that the answer is the option's
            full text in this language, that a letter is none, that no reason is wanted.
    """

    question: str
    answer_label: str
    instructions: tuple[str, ...] = ()

    @property
    def separator(self) -> str:
        """What stands between label and answer: nothing after a full-width colon, else one space."""
        return "" if self.answer_label.endswith("：") else " "

    def render(self, question: str) -> str:
        """Return the question with its label and, on the next line, the label of the answer."""
        return f"{self.question.format(q=question)}\n{self.answer_label}"

    def render_options(self, question: str, options: Sequence[str], *, instructions: bool = True) -> str:
        """Return the question with its lettered options and the answer's label, after the instructions."""
        listed = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
        lines = [self.question.format(q=question), *listed]
        if not instructions:
            return "\n".join([*lines, self.answer_label])
        return "\n".join([*self.instructions, "", *lines, "", self.answer_label])


@dataclass(frozen=True)
class Matching:
    """What stands around a name in a text, and which spellings are one.

    ``same``, ``ignored``, ``digits``, ``joins_next`` and ``joins_previous`` hold for texts of every language,
    since an answer may be in another language than expected.

    Attributes:
        answer_labels: Words for "answer" that a model may repeat before its answer, beside the prompt's.
        labels_before_a_colon: Those that are also ordinary words, so that white space alone does not end
            them.
        prefixes: What is written onto a name's beginning without a space: article, conjunction, preposition.
        suffixes: What is written onto its end: case, particle.
        article: A definite article written onto a name that may as well be left out.
        same: Character to others that count as that one.
        ignored: Characters that do not count, as ``U+0640`` or ``U+064B-U+065F``.
        digits: The script's own digits, zero to nine; empty if they are 0 to 9.
        spellings: Sequence of characters to the one that it is compared as, in texts of this language.
        name_dots: Marks between two letters of this language, within a foreign name, that do not count.
        joiners: Characters without width, as ``U+200C``, that are written as a space, or left out, as well.
        joins_next: Letters after which no word ends, in a script without spaces.
        joins_previous: Letters before which no word begins, in a script without spaces.
    """

    answer_labels: tuple[str, ...] = ()
    labels_before_a_colon: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    article: str = ""
    same: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    digits: str = ""
    spellings: Mapping[str, str] = field(default_factory=dict)
    name_dots: str = ""
    joiners: tuple[str, ...] = ()
    joins_next: str = ""
    joins_previous: str = ""


@dataclass(frozen=True)
class Language:
    """One language. A file of a language has these keys (`interp.data.languages.parsing`).

    Attributes:
        code: ISO 639-1 code, or ISO 639-3 where there is none; a variety adds to it, as in ``pt-br``.
        name: English name.
        endonym: What it calls itself, as it stands in a list of languages.
        script: ISO 15924 code of the script it is usually written in, such as ``Latn``.
        resource: ``high`` or ``low``. In the paper's twelve, low is id, bn, sw. Elsewhere, low is class 3 or
            less in the taxonomy of Joshi et al. (2020). Source: https://aclanthology.org/2020.acl-main.560
        letters: First words of the Unicode names of its letters, such as ``LATIN``.
        unspaced: Those of ``letters`` that are written without spaces between words.
        other_codes: Codes that people write for it; they are answered with a hint, and not accepted.
        reviewed_by: Native speakers who have read the whole file.
        prompt_format: Words around a question; None where nobody has written them.
        templates: Relation to question, with ``{s}`` where the uninflected name of the subject goes; an
            apposition, a colon or quotation marks make that grammatical.
        confidence: ``high``, ``medium`` or ``low`` to the relations whose template its author is so sure of.
        articles: Word to the identifiers of the subjects that need it within a sentence ("the Netherlands").
        particles: Particle in both forms, as a template has it, to the form after a consonant and after a
            vowel.
        matching: What stands around a name in a text.
    """

    code: str
    name: str
    endonym: str
    script: str
    resource: str
    letters: tuple[str, ...]
    unspaced: tuple[str, ...] = ()
    other_codes: tuple[str, ...] = ()
    reviewed_by: tuple[str, ...] = ()
    prompt_format: PromptFormat | None = None
    templates: Mapping[str, str] = field(default_factory=dict)
    confidence: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    articles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    particles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    matching: Matching = field(default_factory=Matching)

    def __repr__(self) -> str:
        return f"Language('{self.code}', {self.name}, {self.script}, {self.resource} resource)"

    @property
    def spaced(self) -> bool:
        """Whether a space stands between words, and so between a sentence and its continuation."""
        return not self.unspaced
