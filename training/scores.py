"""The score of a completion: its outcome, judged by `interp.data.matching`, and what that outcome scores.

Empty completions must score lowest. When all rollouts of a group are alike, their advantages are zero and
nothing is learned from them. Being empty is the easiest way to be alike: if it scored above a wrong attempt,
training would drift to empty completions and stay there. `Scores` therefore refuses an empty score that is
not the lowest of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from interp.data.language_check import copies_english, wrong_language
from interp.data.matching import resolve
from interp.data.normalization import answer_line
from interp.errors import ConfigError, DataError

__all__ = ["CompletionScore", "Outcome", "Scores", "score_completion"]

Outcome = Literal["correct", "other", "unresolved", "wrong_language", "empty"]


@dataclass(frozen=True)
class Scores:
    """Score of each outcome of a completion.

    Attributes:
        correct: It names the right option.
        other: It names another option.
        unresolved: It has words that name no option, or more than one.
        empty: It has no words.
        wrong_language: It names no option and is in the wrong script or copies an English option; None to
            score it as unresolved.

    Raises:
        ConfigError: The scores are not finite, or not in the order
            ``correct > other >= unresolved >= wrong_language > empty``.
    """

    correct: float = 1.0
    other: float = 0.0
    unresolved: float = -0.5
    empty: float = -1.0
    wrong_language: float | None = None

    def __post_init__(self) -> None:
        given = self.given
        if not all(map(math.isfinite, given.values())):
            raise ConfigError(f"Scores must be finite numbers; they are {_listed(given)}.")
        if min(value for name, value in given.items() if name != "empty") <= self.empty:
            raise ConfigError(
                f"The score of an empty completion is {self.empty:g}, which is not the lowest of "
                f"{_listed(given)}. Training would then drift to empty completions, where all advantages "
                "are zero and nothing is learned. Set empty below all others, for example to "
                f"{min(given.values()) - 0.5:g}."
            )
        falling = [value for name, value in given.items() if name != "empty"]
        if self.correct <= self.other or falling != sorted(falling, reverse=True):
            raise ConfigError(
                f"Scores must be in the order correct > other >= unresolved >= wrong_language > empty; "
                f"they are {_listed(given)}."
            )

    @property
    def given(self) -> dict[str, float]:
        """The scores by outcome, best first, without a wrong_language that is not set."""
        names = ("correct", "other", "unresolved", "wrong_language", "empty")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def worth(self, outcome: Outcome) -> float:
        """Return the score of an outcome; a wrong language that has no score counts as unresolved."""
        return self.given.get(outcome, self.unresolved)


@dataclass(frozen=True)
class CompletionScore:
    """The judgment of a completion.

    Attributes:
        score: Score of its outcome.
        kind: The outcome, in the words of `Scores`. ``wrong_language`` is distinguished even when it has no
            score.
        index: Position of the option it names, or None.
        how: The kind of `interp.data.matching.Resolution`, which tells letters and hedges apart.
    """

    score: float
    kind: Outcome
    index: int | None
    how: str


def score_completion(
    text: str,
    options: Sequence[str],
    answer_index: int,
    language: str,
    scores: Scores | None = None,
    *,
    english_options: Sequence[str] | None = None,
    others: Sequence[str] = (),
    minimum_coverage: float = 0.5,
) -> CompletionScore:
    """Return the outcome of a completion and its score.

    Args:
        text: The completion, without the prompt.
        options: The options in the language of the question, in the order shown.
        answer_index: Position of the right one, from 0.
        language: Code of the question's language.
        scores: Scores of the outcomes; the defaults of `Scores` when None.
        english_options: The options in English; when given, copying one counts as the wrong language.
        others: Names of entities that are not options; an option inside one of them does not count.
        minimum_coverage: The smallest share of an option that a part of it must have to name it.

    Raises:
        DataError: There is no option at ``answer_index``, or `resolve` refuses the options.
    """
    if not 0 <= answer_index < len(options):
        raise DataError(
            f"The right option is number {answer_index} from 0, but there are {len(options)} options."
        )
    named = resolve(text, options, language, minimum_coverage=minimum_coverage, others=others)
    kind: Outcome = "unresolved"
    if named.kind == "empty":
        kind = "empty"
    elif named.index is not None:
        kind = "correct" if named.index == answer_index else "other"
    elif named.kind != "letter" and _foreign(text, options, language, english_options):
        kind = "wrong_language"
    return CompletionScore((scores or Scores()).worth(kind), kind, named.index, named.kind)


def _foreign(text: str, options: Sequence[str], language: str, english: Sequence[str] | None) -> bool:
    if wrong_language(answer_line(text), language):
        return True
    return english is not None and copies_english(text, english, options)


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())
