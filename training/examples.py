"""Facts -> examples: the prompt of every fact in every language, its options, and the entity of each option.

Examples of a fact stand together, one per language and always in the same order: the unit of training is the
fact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from interp.data.demonstrations import demonstrations
from interp.data.facts import Fact, FactSet
from interp.data.hashing import hash_key
from interp.data.languages import PromptFormat
from interp.data.templates import prompt_format
from interp.errors import DataError

__all__ = ["Example", "ExampleSet", "make_examples"]


@dataclass(frozen=True)
class Example:
    """The prompt of one fact in one language, and its possible answers.

    Attributes:
        fact_id: Which fact.
        language: Code.
        prompt: Text up to where the answer begins.
        separator: Between prompt and answer: a space, or nothing after a full-width colon.
        options: The names to choose from, in the order shown.
        answer_index: Position of the right one, from 0.
        entities: Per option shown, its number among the fact's option ids, which all languages share.
        english: The options in English where the fact has it, in the order shown; empty otherwise.
        others: Names of the relation's other answers in this language.
    """

    fact_id: str
    language: str
    prompt: str
    separator: str
    options: tuple[str, ...]
    answer_index: int
    entities: tuple[int, ...]
    english: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The right answer as the model would write it, with its separator."""
        return self.separator + self.options[self.answer_index]

    @property
    def gold_entity(self) -> int:
        """Number of the right entity among the fact's option ids."""
        return self.entities[self.answer_index]


@dataclass(frozen=True)
class ExampleSet:
    """Examples by fact.

    Attributes:
        languages: In the order of every fact's examples.
        facts: Per fact, one example per language.
        dropped: Language to the number of facts left out because their prompt in it was too long.
    """

    languages: tuple[str, ...]
    facts: tuple[tuple[Example, ...], ...]
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.facts)

    def sample(self, size: int) -> ExampleSet:
        """Return at most this many facts, drawn by the hash of their ids."""
        first = sorted(self.facts, key=lambda fact: hash_key("evaluation", fact[0].fact_id))[:size]
        return ExampleSet(self.languages, tuple(first), {})

    def fitting(
        self, n_tokens: Callable[[str], int], longest: int, *, may_be_empty: bool = False
    ) -> ExampleSet:
        """Leave out the facts whose prompt is longer than ``longest`` tokens in some language.

        Raises:
            DataError: No fact is left, and ``may_be_empty`` is not set.
        """
        too_long = {
            fact[0].fact_id: [e.language for e in fact if n_tokens(e.prompt) > longest] for fact in self.facts
        }
        fitting = tuple(fact for fact in self.facts if not too_long[fact[0].fact_id])
        dropped = Counter(code for codes in too_long.values() for code in codes)
        if not fitting and not may_be_empty:
            raise DataError(
                f"All {len(self.facts)} facts have a prompt of more than {longest} tokens in some language "
                f"({_listed(dropped)}). Raise max_prompt_tokens, or drop a language."
            )
        return ExampleSet(self.languages, fitting, dict(dropped))


def make_examples(
    facts: FactSet,
    pool: FactSet,
    prompt: str = "question",
    words: str = "native",
    *,
    shots: int = 0,
    letters: bool = False,
) -> ExampleSet:
    """Return the examples of some facts.

    Args:
        facts: Facts to make examples of, in all languages of the set.
        pool: The facts whose answers count as a relation's other answers.
        prompt: ``question``, or ``options`` to show them, in an order drawn per fact and language.
        words: ``native`` or ``english`` words around the question.
        shots: Answered questions before each, of the pool's train facts; see
            `interp.data.demonstrations.demonstrations`.
        letters: Whether a letter is the answer, and not an option's text; there are no instructions then.

    Raises:
        DataError: A relation has too few train facts to show.
    """
    answers = _answers(pool, facts.languages)
    shown = _train_facts(pool, facts.languages) if shots else pool
    made = []
    for fact in facts:
        rows = []
        before = demonstrations(fact, shown, shots) if shots else []
        for code in facts.languages:
            frame = prompt_format("en" if words == "english" else code)
            wording = fact.wording[code]
            order = _order(fact, code) if prompt == "options" else tuple(range(len(fact.option_ids)))
            options = tuple(wording.options[i] for i in order)
            text = _with_demonstrations(
                _asked(fact, code, frame, prompt, instructions=not letters and not before),
                [
                    _asked(other, code, frame, prompt, instructions=False)
                    + _told(other, code, frame, letters)
                    for other in before
                ],
                frame.instructions if prompt == "options" and not letters else (),
            )
            english = tuple(fact.wording["en"].options[i] for i in order) if "en" in fact.wording else ()
            rows.append(
                Example(
                    fact_id=fact.fact_id,
                    language=code,
                    prompt=text,
                    separator=frame.separator,
                    options=options,
                    answer_index=order.index(fact.answer_index),
                    entities=order,
                    english=english,
                    others=tuple(sorted(answers[fact.relation, code].difference(options))),
                )
            )
        made.append(tuple(rows))
    return ExampleSet(facts.languages, tuple(made), {})


def _train_facts(pool: FactSet, languages: Sequence[str]) -> FactSet:
    """The facts that may be shown: those of the train split that all languages have."""
    return pool.filter(splits=["train"], languages=languages, allow_missing=True)


def _asked(fact: Fact, code: str, frame: PromptFormat, prompt: str, *, instructions: bool) -> str:
    """A question in one language, with its options or without."""
    question = fact.wording[code].question
    if prompt == "question":
        return frame.render(question)
    options = [fact.wording[code].options[i] for i in _order(fact, code)]
    return frame.render_options(question, options, instructions=instructions)


def _told(fact: Fact, code: str, frame: PromptFormat, letters: bool) -> str:
    """Its answer, with what separates the two."""
    letter = ascii_uppercase[_order(fact, code).index(fact.answer_index)]
    return frame.separator + (letter if letters else fact.answer(code))


def _with_demonstrations(question: str, answered: Sequence[str], instructions: Sequence[str]) -> str:
    """Instructions, answered questions and a question, with a blank line between them."""
    if not answered:
        return question
    return "\n\n".join([*(["\n".join(instructions)] if instructions else []), *answered, question])


def _order(fact: Fact, code: str) -> tuple[int, ...]:
    """The order in which a language shows the options: no letter means the same entity everywhere."""
    return tuple(
        sorted(range(len(fact.option_ids)), key=lambda i: hash_key(fact.fact_id, code, fact.option_ids[i]))
    )


def _answers(pool: FactSet, languages: Sequence[str]) -> dict[tuple[str, str], set[str]]:
    """The names of all answers by relation and language."""
    names: dict[tuple[str, str], set[str]] = {}
    for fact in pool:
        for code in languages:
            if code in fact.wording:
                names.setdefault((fact.relation, code), set()).add(fact.answer(code))
    return names


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{code} {count}" for code, count in counts.items())
