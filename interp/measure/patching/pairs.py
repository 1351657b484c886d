"""Clean and corrupt prompts: which run's activations replace which, and what answer the run is scored on.

The *source* gives activations and the *target* receives them. A fact's partner and its control are drawn by
the hash of their ids, so they are the same in every language and for every checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Bool, Int

from interp.data.facts import Fact, FactSet
from interp.data.hashing import hash_key
from interp.data.prompts import PromptSet
from interp.measure.patching.positions import ScoredPrompt, Span, aligned
from interp.model.loading import LoadedModel
from interp.model.tokens import TokenizedPrompt
from interp.results.recovery import LEFT_OUT

__all__ = ["FactTokenizer", "Pair", "make_pairs", "partner_of", "unrelated_to"]


@dataclass(frozen=True)
class Pair:
    """One run to patch.

    Attributes:
        fact: Number of the fact.
        language: Number of the language that is asked.
        target: The prompt that is patched.
        sources: Prompts that give activations; the mean of several.
        controls: Prompts about an unrelated fact that give activations instead, for the noise floor; none
            where no fact can serve.
    """

    fact: int
    language: int
    target: ScoredPrompt
    sources: tuple[ScoredPrompt, ...]
    controls: tuple[ScoredPrompt, ...]


class FactTokenizer:
    """Facts as tokenized prompts in several languages."""

    def __init__(self, loaded: LoadedModel, facts: FactSet, prompts: PromptSet):
        self.loaded = loaded
        self.facts = facts
        self._prompts = prompts.prompts
        self.prompt = cache(self._prompt)
        self.subject = cache(self._subject)

    def scored(self, row: int, code: str, answer: Fact, against: str) -> ScoredPrompt:
        """Fact ``row`` in a language, scored on another fact's answer (or its own) against a wrong one.

        Raises:
            MeasurementError: The subject is not found, the prompt's tokens are not the first ones of prompt
                and answer, or both are longer than the context.
        """
        prompt, subject = self.prompt(row, code), self.subject(row, code)
        right, wrong = prompt.continuations([answer.answer(code), against])
        prompt.require_room(len(prompt.ids) + len(right), self.loaded.context)
        first = self._first(prompt, answer, right[0])
        return ScoredPrompt(prompt.label, prompt.ids, subject, right, wrong[0], first)

    def _first(self, prompt: TokenizedPrompt, answer: Fact, first: int) -> tuple[int, ...]:
        """First token of the answer's name in each language; -1 where it is that of the prompt's language."""
        names = prompt.find_continuations([answer.answer(code) for code in self.facts.languages])
        tokens = [-1 if ids is None or ids[0] == first else ids[0] for ids in names]
        here = prompt.prompt.language
        return tuple(
            first if code == here else token for code, token in zip(self.facts.languages, tokens, strict=True)
        )

    def _prompt(self, row: int, code: str) -> TokenizedPrompt:
        return TokenizedPrompt(self.loaded.tokenizer, self._prompts[code][row])

    def _subject(self, row: int, code: str) -> tuple[int, ...]:
        return self.prompt(row, code).positions_of(self.facts.facts[row].wording[code].subject)


def make_pairs(
    tokenizer: FactTokenizer,
    mode: str,
    targets: Sequence[str],
    sources: Sequence[str],
    spans: Collection[Span],
    source_right: Bool[np.ndarray, "fact target"],
    wrong: Int[np.ndarray, "fact target"],
) -> tuple[list[Pair], Int[np.ndarray, "fact target"]]:
    """Pair every fact in every target language with what is patched into it.

    Args:
        tokenizer: Of the facts.
        mode: See `interp.measure.patching.protocol.Protocol`.
        targets: Languages asked.
        sources: Source languages (across, concepts).
        spans: What will be patched.
        source_right: Where the source is right.
        wrong: Number of the wrong option that the target prefers; -1 where it is right (across, checkpoints).

    Returns:
        The pairs, and per fact and language why there is none, as an index into `LEFT_OUT`.
    """
    pairs = []
    left_out = np.zeros(source_right.shape, dtype=np.int64)
    of_another = mode in ("within", "concepts")
    for row in range(len(tokenizer.facts)):
        other = partner_of(tokenizer.facts, row) if of_another else row
        for column, code in enumerate(targets):
            if other is None:
                pair: Pair | str = "no other answer"
            elif not source_right[row, column]:
                pair = "source wrong"
            elif not of_another and wrong[row, column] < 0:
                pair = "target right"
            else:
                from_languages = tuple(sources) or (code,)
                rival = int(wrong[row, column])
                pair = _pair(tokenizer, (row, other), (column, code), from_languages, rival, spans)
            if isinstance(pair, Pair):
                pairs.append(pair)
            else:
                left_out[row, column] = LEFT_OUT.index(pair)
    return pairs, left_out


def partner_of(facts: FactSet, row: int) -> int | None:
    """Another fact of the same relation with another answer, drawn by hash; None where there is none."""
    fact = facts.facts[row]
    others = [i for i, f in enumerate(facts) if f.relation == fact.relation and f.object_id != fact.object_id]
    return min(others, key=lambda i: hash_key("pair", fact.fact_id, facts.facts[i].fact_id), default=None)


def unrelated_to(facts: FactSet, row: int, avoid: Collection[str]) -> Iterator[int]:
    """Yield facts with other subjects and answers that are not to be avoided: same relation first."""
    fact = facts.facts[row]
    others = [i for i, f in enumerate(facts) if f.object_id not in avoid and f.subject_id != fact.subject_id]
    for same in (True, False):
        part = [i for i in others if (facts.facts[i].relation == fact.relation) == same]
        yield from sorted(part, key=lambda i: hash_key("control", fact.fact_id, facts.facts[i].fact_id))


def _pair(
    tokenizer: FactTokenizer,
    rows: tuple[int, int],
    place: tuple[int, str],
    sources: Sequence[str],
    wrong: int,
    spans: Collection[Span],
) -> Pair | str:
    """The pair of a fact, or why there is none."""
    (row, other), (column, code) = rows, place
    fact, partner = tokenizer.facts.facts[row], tokenizer.facts.facts[other]
    rival = partner.object_id if other != row else fact.option_ids[wrong]

    def against(language: str) -> str:
        return partner.answer(language) if other != row else fact.wording[language].options[wrong]

    target = tokenizer.scored(other, code, fact, against(code))
    given = tuple(tokenizer.scored(row, language, fact, against(language)) for language in sources)
    if any(prompt.answer[0] == prompt.distractor for prompt in (target, *given)):
        return "same first token"
    if not all(aligned(prompt, target, span) for prompt in given for span in spans):
        return "lengths differ"
    avoid = {fact.object_id, rival}
    return Pair(row, column, target, given, _controls(tokenizer, row, avoid, sources, given, spans))


def _controls(
    tokenizer: FactTokenizer,
    row: int,
    avoid: Collection[str],
    sources: Sequence[str],
    given: tuple[ScoredPrompt, ...],
    spans: Collection[Span],
) -> tuple[ScoredPrompt, ...]:
    """The sources' prompts about the first unrelated fact that aligns, followed by the sources' answer."""
    for other in unrelated_to(tokenizer.facts, row, avoid):
        controls = []
        for code, source in zip(sources, given, strict=True):
            prompt, subject = tokenizer.prompt(other, code), tokenizer.subject(other, code)
            controls.append(replace(source, label=prompt.label, ids=prompt.ids, subject=subject))
        fits = all(len(control.tokens) <= tokenizer.loaded.context for control in controls)
        if fits and all(aligned(a, b, span) for a, b in zip(controls, given, strict=True) for span in spans):
            return tuple(controls)
    return ()
