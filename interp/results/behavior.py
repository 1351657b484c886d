"""Multiple choice by log-likelihood: log-probabilities of all options, and all that follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.errors import ResultError
from interp.results.answers import AnswersResult
from interp.results.base import Note, Provenance
from interp.results.consistency import (
    agree_wrong,
    both_wrong,
    credit,
    flaws_of_options,
    mean_over_facts,
    pair_mean,
    pairwise_agreement,
    pool_sizes,
    tie_rate,
    top_slot,
    truncated,
)
from interp.results.fields import FactIds, Languages, Numbers, PerFact, PerFactLanguage
from interp.results.rankc import rankc, rankc_bounds, rescale
from interp.results.settings.scorings import DEFAULT_SCORING, SCORINGS
from interp.stats import known_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEFAULT_SCORING", "SCORINGS", "BehaviorResult"]

_PER_FACT = (
    *("fact_ids", "relations", "groups", "answers", "splits", "golds"),
    *("gold", "log_probability", "tokens", "characters", "bytes"),
)


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

    languages: Languages
    fact_ids: FactIds
    relations: PerFact
    groups: PerFact
    answers: PerFact
    splits: PerFact
    golds: PerFactLanguage
    aligned: bool
    gold: Annotated[Int[np.ndarray, " fact"], Numbers(0, below="option")]
    log_probability: Annotated[Float[np.ndarray, "fact language option"], Numbers(missing=True)]
    tokens: Annotated[Int[np.ndarray, "fact language option"], Numbers(0)]
    characters: Annotated[Int[np.ndarray, "fact language option"], Numbers(0)]
    bytes: Annotated[Int[np.ndarray, "fact language option"], Numbers(0)]
    provenance: Provenance

    headlines: ClassVar[Mapping[str, str]] = {
        "accuracy": "mean accuracy over languages",
        "right in all languages": "the share of facts that are right in all languages (Total Consistency)",
        "RankC": "the consistency of rankings between languages (RankC)",
    }
    kind: ClassVar[str] = "behavior"
    scorings: ClassVar[tuple[str, ...]] = SCORINGS

    def flaws(self) -> Iterator[tuple[str, str]]:
        """Options that one language has and another lacks, or a right answer that is none."""
        yield from flaws_of_options(self.log_probability, self.gold)

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

    def agree_wrong(self, scoring: str = "auto") -> Float[np.ndarray, " fact"]:
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

    @cached_property
    def truncated(self) -> Bool[np.ndarray, "fact language"]:
        """Items of which the evaluator cut everything, see `interp.results.consistency.truncated`."""
        return truncated(self.log_probability)

    def in_common(self, other: Self) -> tuple[Self, Self]:
        """Both results without the facts that were truncated in any language for either.

        Raises:
            ResultError: None is left.
        """
        whole = ~(self.truncated | other.truncated).any(axis=1)
        if not whole.any():
            raise ResultError(
                f"Every one of {len(whole)} facts was truncated for one of the two, so nothing can be "
                "compared. "
                "Evaluate with a longer context."
            )
        return self._only(whole), other._only(whole)

    def _only(self, facts: Bool[np.ndarray, " fact"]) -> Self:
        """The result of some facts; itself of all."""
        if facts.all():
            return self
        chosen, changed = np.flatnonzero(facts), dict[str, Any]()
        for name in _PER_FACT:
            values = getattr(self, name)
            changed[name] = (
                values[facts] if isinstance(values, np.ndarray) else tuple(values[i] for i in chosen)
            )
        made: Any = self
        kept: Self = replace(made, **changed)
        return kept

    def diagnostics(self, scoring: str = "auto", cluster: str = "group") -> list[str]:
        """As of `AnswersResult`, and the shares of items whose options tie, and that were truncated."""
        found = super().diagnostics(scoring, cluster)
        ties, cut = tie_rate(self.scores(scoring)), self.truncated.mean(axis=0)
        if ties.any():
            found.append(
                Note(
                    f"Options tie for the highest score in {ties.mean():.2%} of "
                    f"items{_most(ties, self.languages)}; "
                    "credit, agreement and RankC are expectations over the orders of tied options."
                )
            )
        if cut.any():
            found.append(
                f"{cut.mean():.2%} of items were truncated{_most(cut, self.languages)}: all of their "
                "options score "
                "alike, so they measure nothing. A comparison leaves their facts out of both results."
            )
        return found

    def answer_columns(self, scoring: str = "auto") -> dict[str, Any]:
        """Number of the right option, and of the one that scores highest."""
        n_languages = len(self.languages)
        return {
            "gold_option": np.repeat(self.gold, n_languages),
            "option": top_slot(self.scores(scoring)).ravel(),
        }


def _most(shares: Float[np.ndarray, " language"], languages: tuple[str, ...]) -> str:
    """In which language there are most, in words; nothing of one language."""
    if len(languages) < 2:
        return ""
    return f" (at most {shares.max():.2%}, {languages[int(shares.argmax())]})"
