"""The questions of the embedded facts in a language, from the templates of its record.

A subject is inserted uninflected. Two things are added where a language has no way around them: an English
article, a Korean particle.
"""

from __future__ import annotations

from interp.characters import visible
from interp.data.languages import PromptFormat
from interp.data.languages import language as known_language
from interp.errors import DataError, nearest

__all__ = ["prompt_format", "question", "relations", "template"]

_FIRST_HANGUL_SYLLABLE = 0xAC00
# 28 to each pair of initial and vowel, the first of them without a final consonant
_N_HANGUL_SYLLABLES = 11172


def relations() -> tuple[str, ...]:
    """Return the relations that have templates."""
    return tuple(known_language("en").templates)


def template(relation: str, language: str) -> str:
    """Return the template of a relation in a language, with ``{s}`` where the subject goes.

    Raises:
        DataError: The language is unknown or has no template for the relation.
    """
    record = known_language(language)
    if relation in record.templates:
        return record.templates[relation]
    if not record.templates:
        raise DataError(
            f"{record.name} ('{language}') has no question templates. Give facts that bring their questions, "
            "or add [templates] to its file."
        )
    raise DataError(
        f"No template for the relation '{visible(relation)}'.{nearest(relation, record.templates)} "
        f"Choose from: {', '.join(record.templates)}."
    )


def question(relation: str, language: str, subject: str, subject_id: str) -> str:
    """Return the question about a subject.

    Args:
        relation: Which template.
        language: In which language.
        subject: The subject's name in that language.
        subject_id: The subject's identifier; some names need an article within a sentence ("the
            Netherlands").
    """
    record = known_language(language)
    article = next((word for word, subjects in record.articles.items() if subject_id in subjects), None)
    named = f"{article} {subject}" if article else subject
    text = template(relation, language).replace("{s}", named)
    for both, (after_consonant, after_vowel) in record.particles.items():
        text = _with_particle(text, subject, both, after_consonant, after_vowel)
    return text


def _with_particle(text: str, subject: str, both: str, after_consonant: str, after_vowel: str) -> str:
    """Settle a particle that a template has in both forms, such as ``은(는)``, by the last letter of the
    subject.

    A subject that does not end in Hangul keeps both forms, as is usual in print.
    """
    last = ord(subject[-1]) - _FIRST_HANGUL_SYLLABLE
    if not 0 <= last < _N_HANGUL_SYLLABLES:
        return text
    return text.replace(subject + both, subject + (after_consonant if last % 28 else after_vowel))


def prompt_format(language: str) -> PromptFormat:
    """Return the words around question and answer in a language.

    Raises:
        DataError: The language is unknown, or has no such words.
    """
    record = known_language(language)
    if record.prompt_format is None:
        raise DataError(
            f"{record.name} ('{language}') has no words around a question. Ask with the prompt format "
            "english or none, or add [prompt_format] to its file."
        )
    return record.prompt_format
