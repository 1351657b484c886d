"""Controls: the same prompts romanized or with their words shuffled, to see what is left of a measure.

Most of what looks like language may be script: units that LAPE gives to a language are nearly disjoint from
those of its romanized text, and nearly the same when its words are shuffled. So every measure can be repeated
on a control, and what survives is compared with what it was.

* ``romanized``: everything that the model reads is in Latin letters (`interp.data.romanization`): questions,
  the words around them, answers and options.
* ``shuffled``: the words of every question are in another order, drawn by the hash of item and language; the
  words around it, its punctuation and the answer stay. The subject's name stays whole, so that what is read
  at it can still be read. In a script without spaces characters are shuffled, each with its marks: there are
  no words to be seen.

Source: Verma et al. (2026), Multilingual Language Models Encode Script Over Linguistic Structure,
https://arxiv.org/abs/2604.05090.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import replace
from typing import overload

from interp.characters import script_of, visible
from interp.data.facts import Fact, FactSet
from interp.data.hashing import hash_key
from interp.data.languages import language
from interp.data.prompts import Prompt, PromptSet
from interp.data.romanization import require_romanizer, romanized
from interp.data.wording import Wording
from interp.errors import ConfigError, DataError, nearest

__all__ = ["CONTROLS", "controlled", "parse_controls", "shuffled", "with_distinct_options"]

CONTROLS = ("romanized", "shuffled")

_INNER = "'’ʼ-‐"
"""Marks within a word, between two of its letters."""
_JOINERS = "\u200c\u200d"


def parse_controls(text: str) -> tuple[str, ...]:
    """Return the controls that a text such as ``romanized,shuffled`` names, in its order; maybe none.

    Raises:
        ConfigError: One is unknown or named twice.
        CapabilityError: Romanizing needs a package that is not installed.
    """
    names = tuple(part.strip() for part in text.split(",")) if text.strip() else ()
    for name in names:
        if name not in CONTROLS:
            raise ConfigError(
                f"No control '{visible(name)}'.{nearest(name, CONTROLS)} Choose from: {', '.join(CONTROLS)}."
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"'control' is '{visible(text)}', which names a control more than once.")
    if "romanized" in names:
        require_romanizer()
    return names


@overload
def controlled(data: FactSet, control: str) -> FactSet: ...
@overload
def controlled(data: PromptSet, control: str) -> PromptSet: ...


def controlled(data: FactSet | PromptSet, control: str) -> FactSet | PromptSet:
    """Return facts or prompts under a control; as they are for an empty name.

    Of facts, questions are transformed and the words around them when they are rendered. Of prompts, the
    whole text is: each line is shuffled for itself.

    Args:
        data: As written, under no control yet.
        control: One of `CONTROLS`, or empty.

    Raises:
        ConfigError: There is no such control, or the data is under one already.
        CapabilityError: Romanizing needs a package that is not installed.
    """
    if not control:
        return data
    names = (data.control, *parse_controls(control)) if data.control else parse_controls(control)
    if len(names) != 1:
        raise ConfigError(f"One control at a time is expected; found {' and '.join(names) or 'none'}.")
    (name,) = names
    if isinstance(data, FactSet):
        return replace(data, facts=tuple(_of_fact(fact, name) for fact in data), control=name)
    prompts = {code: tuple(_of_prompt(p, name) for p in data.prompts[code]) for code in data.languages}
    return replace(data, prompts=prompts, control=name, note=f"{data.note}, {name}")


def with_distinct_options(facts: FactSet) -> FactSet:
    """Return the facts whose options differ from each other in every language: romanized, some do not.

    Raises:
        DataError: There are none.
    """
    fit = tuple(
        fact for fact in facts if all(len(set(w.options)) == len(w.options) for w in fact.wording.values())
    )
    if not fit:
        raise DataError(
            f"Under the control '{facts.control}' all {len(facts)} facts of '{visible(facts.name)}' have two "
            "options that are written alike in some language, so none can be asked. Choose other languages."
        )
    left_out = len(facts) - len(fit)
    note = f"{left_out} facts left out whose options are alike when {facts.control}" if left_out else ""
    return replace(facts, facts=fit, note="; ".join(filter(None, [facts.note, note])))


def shuffled(text: str, code: str, key: str, whole: str = "") -> str:
    """Return a text with its words in another order; white space and punctuation stay where they are.

    The order is drawn by the hash of ``key`` and language, and is never the one that was, unless all words
    are equal. In a script without spaces each character is a word, with its marks.

    Args:
        text: One line or more; words stay in their line.
        code: Of its language.
        key: What the order depends on, such as an item's id.
        whole: A name that stays whole wherever it stands, with what is written onto it.
    """
    lines = text.split("\n")
    return "\n".join(_shuffled_line(line, code, f"{key}\n{i}", whole) for i, line in enumerate(lines))


def _shuffled_line(line: str, code: str, key: str, whole: str) -> str:
    places = _words(line, language(code).unspaced, whole)
    words = [line[start:end] for start, end in places]
    order = sorted(range(len(words)), key=lambda i: hash_key("shuffled", key, code, str(i)))
    if [words[i] for i in order] == words:
        order = order[1:] + order[:1]
    parts, done = [], 0
    for (start, end), i in zip(places, order, strict=True):
        parts += [line[done:start], words[i]]
        done = end
    return "".join([*parts, line[done:]])


def _words(line: str, unspaced: Collection[str], whole: str) -> list[tuple[int, int]]:
    """Where each word begins and ends."""

    def alone(character: str) -> bool:
        return script_of(character) in unspaced

    def goes_on(at: int) -> bool:
        if line[at] in _INNER:
            return at + 1 < len(line) and _is_letter(line[at + 1]) and not alone(line[at + 1])
        return _is_letter(line[at]) and not alone(line[at])

    places, at = [], 0
    while at < len(line):
        start, at = at, at + 1
        if not _is_letter(line[start]):
            continue
        single = alone(line[start])
        while at < len(line) and (_is_mark(line[at]) if single else goes_on(at)):
            at += 1
        places.append((start, at))
    return _joined(places, _mentions(line, whole))


def _joined(places: list[tuple[int, int]], mentions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Words, with all that a mention touches as one."""
    for start, end in mentions:
        touched = [place for place in places if place[0] < end and start < place[1]]
        if touched:
            first, last = places.index(touched[0]), places.index(touched[-1])
            united = (min(start, touched[0][0]), max(end, touched[-1][1]))
            places[first : last + 1] = [united]
    return places


def _mentions(line: str, name: str) -> list[tuple[int, int]]:
    found, start = [], line.find(name) if name else -1
    while start >= 0:
        found.append((start, start + len(name)))
        start = line.find(name, start + len(name))
    return found


def _is_letter(character: str) -> bool:
    """Whether a character is part of a word: a letter, a mark, a digit, or a joiner without width."""
    return unicodedata.category(character)[0] in "LMN" or character in _JOINERS


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" or character in _JOINERS


def _of_fact(fact: Fact, control: str) -> Fact:
    change = _romanized if control == "romanized" else _with_shuffled_question
    return replace(
        fact, wording={code: change(wording, code, fact.fact_id) for code, wording in fact.wording.items()}
    )


def _with_shuffled_question(wording: Wording, code: str, key: str) -> Wording:
    return replace(wording, question=shuffled(wording.question, code, key, wording.subject))


def _romanized(wording: Wording, code: str, _: str) -> Wording:
    """All texts of a wording; the question around its subject, so that the subject is found in it."""
    subject = romanized(wording.subject, code)
    around = wording.question.split(wording.subject) if wording.subject else [wording.question]
    return Wording(
        subject.join(romanized(part, code) for part in around),
        subject,
        tuple(romanized(option, code) for option in wording.options),
        romanized(wording.suffix, code),
        tuple(romanized(alias, code) for alias in wording.aliases),
    )


def _of_prompt(prompt: Prompt, control: str) -> Prompt:
    code = prompt.language
    if control == "shuffled":
        return replace(prompt, text=shuffled(prompt.text, code, prompt.item_id))
    return replace(prompt, text=romanized(prompt.text, code), answer=romanized(prompt.answer, code))
