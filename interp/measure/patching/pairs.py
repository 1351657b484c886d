"""Clean and corrupt prompts: whose activations are written into whose run, and by which answer the run is judged.

The *source* gives activations and the *target* receives them. A fact's partner and its control are drawn by the hash of
their ids, so they are the same in every language and for every checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Bool, Int

from interp.data.characters import visible
from interp.data.facts import Fact, FactSet
from interp.data.hashing import hash_key
from interp.data.prompts import prompts_from_facts
from interp.errors import MeasurementError
from interp.measure.patching.positions import ScoredPrompt, Span, aligned
from interp.model.loading import LoadedModel
from interp.model.subjects import subject_tokens
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
        controls: Prompts about an unrelated fact that give activations instead, for the noise floor; none where no fact
            can serve.
    """

    fact: int
    language: int
    target: ScoredPrompt
    sources: tuple[ScoredPrompt, ...]
    controls: tuple[ScoredPrompt, ...]


class FactTokenizer:
    """Facts as tokenized prompts in several languages."""

    def __init__(self, loaded: LoadedModel, facts: FactSet, names: Sequence[str]):
        self.loaded = loaded
        self.facts = facts
        self.names = tuple(names)
        self._prompts = prompts_from_facts(facts).prompts
        self.prompt = cache(self._tokenized)

    def ask(self, row: int, code: str, answer: Fact, against: str) -> ScoredPrompt:
        """Ask fact ``row`` in a language, and score it on another fact's answer (or its own) against a wrong one.

        Raises:
            MeasurementError: The subject is not found, the prompt's tokens are not the first ones of prompt and answer,
                or both are longer than the context.
        """
        ids, subject = self.prompt(row, code)
        said, gold = self.said(row, code), self._continuation(row, code, answer.answer(code))
        wrong = self._continuation(row, code, against)
        if gold is None or wrong is None:
            raise MeasurementError(
                f"{said}: the tokens of the prompt are not the first ones of prompt and answer, so the answer's own "
                "log-probability is not defined. Use another prompt_format."
            )
        if len(ids) + len(gold) > self.loaded.context:
            raise MeasurementError(
                f"{said}: prompt and answer have {len(ids) + len(gold)} tokens, the model's context is "
                f"{self.loaded.context}. Leave out the fact, or use a shorter prompt_format."
            )
        return ScoredPrompt(said, ids, subject, gold, wrong[0], self._first(row, code, answer, gold[0]))

    def said(self, row: int, code: str) -> str:
        """What to call a prompt in a message."""
        return f"'{visible(self.facts.facts[row].fact_id)}' in '{code}'"

    def _first(self, row: int, code: str, answer: Fact, own: int) -> tuple[int, ...]:
        """First token of the answer's name in each language; -1 where it is that of the prompt's own language."""
        found = []
        for name in self.names:
            ids = self._continuation(row, code, answer.answer(name))
            found.append(own if name == code else -1 if ids is None or ids[0] == own else ids[0])
        return tuple(found)

    def _tokenized(self, row: int, code: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        subject = self.facts.facts[row].wording[code].subject
        prompt = self._prompts[code][row]
        return subject_tokens(self.loaded.tokenizer, prompt.text, subject, self.said(row, code))

    def _continuation(self, row: int, code: str, name: str) -> tuple[int, ...] | None:
        """Tokens of a name after a prompt; None where the two share a token."""
        ids, prompt = self.prompt(row, code)[0], self._prompts[code][row]
        joint = tuple(self.loaded.tokenizer(prompt.text + prompt.separator + name)["input_ids"])
        return joint[len(ids) :] if joint[: len(ids)] == ids and len(joint) > len(ids) else None


def make_pairs(
    asker: FactTokenizer,
    mode: str,
    targets: Sequence[str],
    sources: Sequence[str],
    spans: Collection[Span],
    knows: Bool[np.ndarray, "fact target"],
    wrong: Int[np.ndarray, "fact target"],
) -> tuple[list[Pair], Int[np.ndarray, "fact target"]]:
    """Pair every fact in every target language with what is patched into it.

    Args:
        asker: The facts.
        mode: See `interp.measure.patching.protocol.Protocol`.
        targets: Languages asked.
        sources: Source languages (across, concepts).
        spans: What will be patched.
        knows: Where the source is right.
        wrong: Number of the wrong option that the target prefers; -1 where it is right (across, checkpoints).

    Returns:
        The pairs, and per fact and language why there is none, as an index into `LEFT_OUT`.
    """
    pairs = []
    left_out = np.zeros(knows.shape, dtype=np.int64)
    of_another = mode in ("within", "concepts")
    for row in range(len(asker.facts)):
        other = partner_of(asker.facts, row) if of_another else row
        for column, code in enumerate(targets):
            if other is None:
                found: Pair | str = "no other answer"
            elif not knows[row, column]:
                found = "source wrong"
            elif not of_another and wrong[row, column] < 0:
                found = "target right"
            else:
                chosen = tuple(sources) or (code,)
                found = _pair(asker, (row, other), (column, code), chosen, int(wrong[row, column]), spans)
            if isinstance(found, Pair):
                pairs.append(found)
            else:
                left_out[row, column] = LEFT_OUT.index(found)
    return pairs, left_out


def partner_of(facts: FactSet, row: int) -> int | None:
    """Another fact of the same relation with another answer, drawn by hash; None where there is none."""
    fact = facts.facts[row]
    others = [i for i, f in enumerate(facts) if f.relation == fact.relation and f.object_id != fact.object_id]
    return min(others, key=lambda i: hash_key("pair", fact.fact_id, facts.facts[i].fact_id), default=None)


def unrelated_to(facts: FactSet, row: int, avoid: Collection[str]) -> Iterator[int]:
    """Yield facts about other subjects, with answers that are not to be avoided: same relation first, then by hash."""
    fact = facts.facts[row]
    others = [i for i, f in enumerate(facts) if f.object_id not in avoid and f.subject_id != fact.subject_id]
    for same in (True, False):
        part = [i for i in others if (facts.facts[i].relation == fact.relation) == same]
        yield from sorted(part, key=lambda i: hash_key("control", fact.fact_id, facts.facts[i].fact_id))


def _pair(
    asker: FactTokenizer,
    rows: tuple[int, int],
    place: tuple[int, str],
    sources: Sequence[str],
    wrong: int,
    spans: Collection[Span],
) -> Pair | str:
    """The pair of a fact, or why there is none."""
    (row, other), (column, code) = rows, place
    fact, partner = asker.facts.facts[row], asker.facts.facts[other]
    rival = partner.object_id if other != row else fact.option_ids[wrong]

    def against(language: str) -> str:
        return partner.answer(language) if other != row else fact.wording[language].options[wrong]

    target = asker.ask(other, code, fact, against(code))
    given = tuple(asker.ask(row, language, fact, against(language)) for language in sources)
    if any(asked.answer[0] == asked.distractor for asked in (target, *given)):
        return "same first token"
    if not all(aligned(asked, target, span) for asked in given for span in spans):
        return "lengths differ"
    avoid = {fact.object_id, rival}
    return Pair(row, column, target, given, _controls(asker, row, avoid, sources, given, spans))


def _controls(
    asker: FactTokenizer,
    row: int,
    avoid: Collection[str],
    sources: Sequence[str],
    given: tuple[ScoredPrompt, ...],
    spans: Collection[Span],
) -> tuple[ScoredPrompt, ...]:
    """The sources' prompts about an unrelated fact, followed by the sources' answer: the first fact that aligns."""
    for other in unrelated_to(asker.facts, row, avoid):
        controls = []
        for code, asked in zip(sources, given, strict=True):
            ids, subject = asker.prompt(other, code)
            controls.append(replace(asked, said=asker.said(other, code), ids=ids, subject=subject))
        fits = all(len(control.tokens) <= asker.loaded.context for control in controls)
        if fits and all(aligned(a, b, span) for a, b in zip(controls, given, strict=True) for span in spans):
            return tuple(controls)
    return ()
