"""What is asked in each language: a question template per relation, and the words around question and answer.

The texts are in ``resources/templates.json``, by language, so that a native speaker can read one block and sign it.
A subject is inserted uninflected; each template is built (with an apposition, a colon or quotation marks) so that this
is grammatical. Two things are added where the language has no way around them: an English article, a Korean particle.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import ascii_uppercase
from typing import Any

from interp.data.characters import visible
from interp.data.languages import language as known_language
from interp.errors import DataError, nearest

_FIRST_HANGUL_SYLLABLE = 0xAC00
_N_HANGUL_SYLLABLES = (
    11172  # 28 to each pair of initial and vowel, the first of them without a final consonant
)
_PARTICLES = {"은(는)": ("은", "는"), "을(를)": ("을", "를"), "(이)라는": ("이라는", "라는")}


@dataclass(frozen=True)
class PromptFormat:
    """The words around a question and its answer.

    Attributes:
        question: Format with one ``{q}``, such as ``Question: {q}``.
        answer_label: What stands before the answer, such as ``Answer:``.
        instructions: Four lines for a question with options: what follows, that the answer is the option's full text
            in this language, that a letter is none, that no reason is wanted.
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
        """Return the question with its lettered options, after the instructions if wanted, and the answer's label."""
        listed = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
        asked = [self.question.format(q=question), *listed]
        if not instructions:
            return "\n".join([*asked, self.answer_label])
        return "\n".join([*self.instructions, "", *asked, "", self.answer_label])


@cache
def template_resource() -> dict[str, Any]:
    """Return the resource file as it is: per language the templates, who reviewed them and how sure we are."""
    file = resources.files("interp.data") / "resources" / "templates.json"
    return json.loads(file.read_text(encoding="utf-8"))


def relations() -> tuple[str, ...]:
    """Return the relations that have templates."""
    return tuple(template_resource()["languages"]["en"]["templates"])


def template(relation: str, language: str) -> str:
    """Return the template of a relation in a language, with ``{s}`` where the subject goes.

    Raises:
        DataError: The language or the relation is unknown.
    """
    templates = template_resource()["languages"][known_language(language).code]["templates"]
    if relation not in templates:
        raise DataError(
            f"No template for the relation '{visible(relation)}'.{nearest(relation, templates)} "
            f"There is: {', '.join(templates)}."
        )
    return templates[relation]


def question(relation: str, language: str, subject: str, subject_id: str) -> str:
    """Return the question about a subject.

    Args:
        relation: Which template.
        language: In which language.
        subject: The subject's name in that language.
        subject_id: The subject's identifier; some names need an article within a sentence ("the Netherlands").
    """
    articles = template_resource()["articles"].get(language, {})
    article = next((word for word, subjects in articles.items() if subject_id in subjects), None)
    named = f"{article} {subject}" if article else subject
    text = template(relation, language).replace("{s}", named)
    return _with_particle(text, subject) if language == "ko" else text


def _with_particle(text: str, subject: str) -> str:
    """Settle the Korean particles written as ``은(는)``: the first form follows a final consonant, the second a vowel.

    A subject that does not end in Hangul keeps both forms, as is usual in print.
    """
    last = ord(subject[-1]) - _FIRST_HANGUL_SYLLABLE
    if not 0 <= last < _N_HANGUL_SYLLABLES:
        return text
    for both, (after_consonant, after_vowel) in _PARTICLES.items():
        text = text.replace(subject + both, subject + (after_consonant if last % 28 else after_vowel))
    return text


def prompt_format(language: str) -> PromptFormat:
    """Return the words around question and answer in a language."""
    words = template_resource()["languages"][known_language(language).code]["prompt_format"]
    return PromptFormat(words["question"], words["answer"], tuple(words["instructions"]))
