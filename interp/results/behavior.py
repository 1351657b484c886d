"""Multiple choice by log-likelihood: log-probabilities of all options, and all that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.errors import ResultError
from interp.results.answers import AnswersResult
from interp.results.base import Provenance
from interp.results.consistency import (
    agree_wrong,
    both_wrong,
    credit,
    mean_over_facts,
    pair_mean,
    pairwise_agreement,
    pool_sizes,
    tie_rate,
    top_slot,
)
from interp.results.rankc import rankc, rankc_bounds, rescale
from interp.results.settings.scorings import DEFAULT_SCORING, SCORINGS
from interp.stats import known_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEFAULT_SCORING", "SCORINGS", "BehaviorResult"]


@dataclass(frozen=True, eq=False, repr=False)
class BehaviorResult(AnswersResult):
    """Log-probability of every option of every fact in every language, in one order for all languages.

    All else is recomputed from these without a model. The other attributes are those of `AnswersResult`.

    Attributes:
        gold: Number of the right option.
        log_probability: Summed over the option's tokens, in nats; NaN where a fact has fewer options.
        tokens: Tokens of the option, the space before it in the first; 0 where there is none, or unknown.
        characters: Characters of the option, without the space.
        bytes: UTF-8 bytes of the option, without the space.
    """

    languages: tuple[str, ...]
    fact_ids: tuple[str, ...]
    relations: tuple[str, ...]
    groups: tuple[str, ...]
    answers: tuple[str, ...]
    splits: tuple[str, ...]
    golds: tuple[tuple[str, ...], ...]
    aligned: bool
    gold: Int[np.ndarray, " fact"]
    log_probability: Float[np.ndarray, "fact language option"]
    tokens: Int[np.ndarray, "fact language option"]
    characters: Int[np.ndarray, "fact language option"]
    bytes: Int[np.ndarray, "fact language option"]
    provenance: Provenance

    headlines: ClassVar[Mapping[str, str]] = {
        "accuracy": "accuracy, mean over languages",
        "right in all languages": "the share of facts that are right in all languages (Total Consistency)",
        "RankC": "the consistency of rankings between languages (RankC)",
    }
    kind: ClassVar[str] = "behavior"
    scorings: ClassVar[tuple[str, ...]] = SCORINGS

    @property
    def default_scoring(self) -> str:
        """See `DEFAULT_SCORING`."""
        return DEFAULT_SCORING

    def scores(self, scoring: str = "auto") -> Float[np.ndarray, "fact language option"]:
        """Return what options are compared by, in nats or nats per unit of length; NaN where there is none.

        ``sum``: the log-probability. ``token``, ``character``, ``byte``: divided by that length. Sums favor
        short options, tokens depend on the tokenizer's treatment of a script; bytes are the default of the
        field's harness.

        Raises:
            ResultError: The scoring is unknown, or a length is.
        """
        scoring = self.checked(scoring)
        if scoring == "sum":
            return self.log_probability
        length = {"token": self.tokens, "character": self.characters, "byte": self.bytes}[scoring]
        if (np.isfinite(self.log_probability) & (length <= 0)).any():
            raise ResultError(
                f"The options' lengths in {scoring}s are not known in this result, so '{scoring}' cannot be "
                "used. Use another scoring."
            )
        return np.where(length > 0, self.log_probability / np.maximum(length, 1), np.nan)

    def credit(self, scoring: str = "auto") -> Float[np.ndarray, "fact language"]:
        """Return 1 where the right option alone scores highest, a share where options tie, else 0."""
        return credit(self.scores(scoring), self.gold)

    def agreement(self, scoring: str = "auto") -> Float[np.ndarray, "fact language language"]:
        """See `interp.results.consistency.pairwise_agreement`."""
        self.require_aligned()
        return pairwise_agreement(self.scores(scoring))

    def agree_wrong(self, scoring: str = "auto") -> Bool[np.ndarray, " fact"]:
        """See `interp.results.consistency.agree_wrong`."""
        self.require_aligned()
        return agree_wrong(self.scores(scoring), self.gold)

    @cached_property
    def chance(self) -> float:
        """Expected accuracy of a guess: the mean of 1 / number of options."""
        return float((1 / pool_sizes(self.log_probability)).mean())

    def by_language(self, scoring: str = "auto") -> pd.DataFrame:
        """As of `AnswersResult`, and the share of facts in which options tie for the highest score."""
        return super().by_language(scoring).assign(ties=tie_rate(self.scores(scoring)))

    def consistency(self, scoring: str = "auto") -> dict[str, float]:
        """As of `AnswersResult`, and where answers are aligned RankC: how alike options are ranked.

        ``rankc_floor`` and ``rankc_chance``: of opposite and of independent rankings of these pools.
        ``rankc_rescaled``: 0 at the floor. ``rankc_both_wrong``: on facts that both languages get wrong,
        where agreeing is no knowledge of the fact; over the pairs of languages with such facts, else NaN.
        """
        values = super().consistency(scoring)
        if not self.aligned or len(self.languages) < 2:
            return values
        scores = self.scores(scoring)
        ranks = rankc(scores)
        floor, chance = rankc_bounds(pool_sizes(scores))
        mean = float(pair_mean(mean_over_facts(ranks)))
        both = mean_over_facts(ranks, both_wrong(self.right(scoring)))
        wrong = known_mean(both[np.triu_indices(len(both), k=1)])
        values |= {"rankc": mean, "rankc_floor": floor, "rankc_chance": chance}
        return values | {"rankc_rescaled": rescale(mean, floor), "rankc_both_wrong": wrong}

    def quantities(self, scoring: str = "auto") -> dict[str, Float[np.ndarray, " fact"]]:
        """As of `AnswersResult`, and RankC."""
        per_fact = super().quantities(scoring)
        if self.aligned and len(self.languages) > 1:
            per_fact["RankC"] = np.asarray(pair_mean(rankc(self.scores(scoring))))
        return per_fact

    def answer_columns(self, scoring: str = "auto") -> dict[str, Any]:
        """Number of the right option, and of the one that scores highest."""
        n_languages = len(self.languages)
        return {
            "gold_option": np.repeat(self.gold, n_languages),
            "option": top_slot(self.scores(scoring)).ravel(),
        }
