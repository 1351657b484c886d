"""Multiple choice by log-likelihood: a question is encoded once, and its cache serves all of its options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from interp.data.facts import FactSet
from interp.data.priors import answers_of
from interp.data.prompts import context_of, prompts_from_facts
from interp.measure.passes import Progress
from interp.measure.provenance import Measurement
from interp.measure.questions import Question, make_questions
from interp.measure.scoring import score_questions
from interp.model.loading import LoadedModel
from interp.results.behavior import BehaviorResult
from interp.results.settings.evaluation import EvaluationSettings

__all__ = ["measure_behavior"]


def measure_behavior(
    loaded: LoadedModel,
    facts: FactSet,
    *,
    batch_tokens: int = 4096,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> BehaviorResult:
    """Score every option of every fact in every language of the set.

    The log-probability of an option is the sum over its tokens of log p(token | prompt, tokens before), from
    a log-softmax in float32. Prompt and option are tokenized together, and the prompt alone must be a prefix
    of that, token by token. Nothing is truncated. What follows the answer in a cloze sentence is not scored.

    Args:
        loaded: The model.
        facts: What is asked, in which languages and words.
        batch_tokens: Padded tokens per pass; halved where memory runs out.
        resume: File in which an interrupted run keeps what is done; remove it once the result is saved.
        progress: Called with batches done and batches in all.

    Raises:
        DataError: A fact lacks a language.
        MeasurementError: A fact has one option only, a prompt is no prefix of prompt and option, an item is
            longer than the context, a score is not finite, or one question alone does not fit into memory.
        Interrupted: Ctrl-C or SIGTERM; what is done is kept in ``resume``.
    """
    facts.require_options()
    prompts = prompts_from_facts(facts)
    questions = make_questions(loaded, facts, prompts)
    measurement = Measurement.of(loaded, prompts, EvaluationSettings(), **context_of(facts))
    log_probability, largest = score_questions(
        loaded,
        facts,
        questions,
        batch_tokens=batch_tokens,
        resume=resume,
        key=measurement.key(batch_tokens=batch_tokens),
        progress=progress,
    )
    return BehaviorResult(
        **facts.answer_key(),
        answers=answers_of(facts),
        gold=np.array([fact.answer_index for fact in facts]),
        aligned=facts.aligned,
        log_probability=log_probability,
        provenance=measurement.provenance(batch_tokens=batch_tokens, largest_batch=largest),
        **dict[str, Any](_lengths(facts, questions, log_probability.shape)),
    )


def _lengths(
    facts: FactSet, questions: Sequence[Question], shape: tuple[int, ...]
) -> dict[str, Int[np.ndarray, "fact language option"]]:
    """Tokens, characters and bytes of every option; 0 where there is none."""
    lengths = {name: np.zeros(shape, dtype=np.int64) for name in ("tokens", "characters", "bytes")}
    for q in questions:
        names = facts.facts[q.fact].wording[facts.languages[q.language]].options
        for option, (name, ids) in enumerate(zip(names, q.options, strict=True)):
            at = (q.fact, q.language, option)
            lengths["tokens"][at], lengths["characters"][at] = len(ids), len(name)
            lengths["bytes"][at] = len(name.encode())
    return lengths
