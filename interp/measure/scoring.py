"""The log-probability of every option of every fact in every language, in batches that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from interp.data.facts import FactSet
from interp.errors import MeasurementError
from interp.measure.passes import Progress, run_batches
from interp.measure.questions import Question, encode_questions, question_batches, score_options
from interp.model.loading import LoadedModel

__all__ = ["score_questions"]


def score_questions(
    loaded: LoadedModel,
    facts: FactSet,
    questions: Sequence[Question],
    *,
    batch_tokens: int,
    resume: Path | None,
    key: dict[str, Any],
    progress: Progress | None,
) -> tuple[Float[np.ndarray, "fact language option"], int]:
    """Score all questions; summed over an option's tokens, in nats, and NaN where a fact has fewer options.

    The second value is the number of questions in the largest batch that fitted.

    Args:
        loaded: The model.
        facts: What is asked.
        questions: Of all facts in all languages, see `interp.measure.questions.make_questions`.
        batch_tokens: Padded tokens per pass; halved automatically on out-of-memory.
        resume: File in which an interrupted run keeps what is done.
        key: What must be the same to continue.
        progress: Called with batches done and batches in all.

    Raises:
        MeasurementError: A score is not finite, or one question alone does not fit into memory.
        Interrupted: Ctrl-C or SIGTERM; what is done is kept in ``resume``.
    """
    shape = (len(facts), len(facts.languages), max(len(fact.option_ids) for fact in facts))
    scores = _Scores(np.full(shape, np.nan))

    def add(batch: Sequence[Question]) -> None:
        for question, values in zip(batch, _score(loaded, batch), strict=True):
            if not np.isfinite(values).all():
                raise MeasurementError(
                    f"{question.describe()}: log-probabilities are not finite. Use --dtype float32 or "
                    "bfloat16."
                )
            scores.values[question.fact, question.language, : len(values)] = values

    largest = run_batches(
        loaded,
        question_batches(questions, batch_tokens),
        add,
        scores,
        Question.describe,
        resume=resume,
        key=key,
        progress=progress,
    )
    return scores.values, largest


@dataclass
class _Scores:
    """Log-probabilities so far; NaN where a fact has fewer options, or was not asked yet."""

    values: np.ndarray

    def state(self) -> dict[str, np.ndarray]:
        return {"values": self.values}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self.values[:] = state["values"]


def _score(loaded: LoadedModel, batch: Sequence[Question]) -> list[Float[np.ndarray, " option"]]:
    """Log-probabilities of all options of a batch."""
    return score_options(loaded, batch, encode_questions(loaded, batch))
