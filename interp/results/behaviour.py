"""What a model answers in every language: log-probabilities of all options, and the accuracies they define."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Int

from interp.errors import ResultError, nearest
from interp.results.base import Provenance, Result
from interp.results.consistency import (
    accuracy,
    agree_wrong,
    both_wrong,
    credit,
    mean_over_facts,
    pair_mean,
    pairwise_agreement,
    pool_sizes,
    tie_rate,
    total_consistency,
)
from interp.results.rankc import rankc, rankc_bounds
from interp.stats import wilson

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NORMALIZATIONS", "BehaviourResult"]

NORMALIZATIONS = ("sum", "token", "character", "byte")
"""What a summed log-probability is divided by: nothing, or the option's length. The space before it is not counted."""


@dataclass(frozen=True, eq=False, repr=False)
class BehaviourResult(Result):
    """Log-probability of every option of every fact in every language, options in one order for all languages.

    Everything else is recomputed from these without a model.

    Attributes:
        languages: Codes, in the order of the language axis.
        fact_ids: In the order of the fact axis.
        relations: Relation of each fact.
        groups: What each fact is resampled with.
        splits: Split of each fact.
        gold: Number of the right option.
        log_probability: Summed over the option's tokens, in nats; NaN where a fact has fewer options.
        tokens: Tokens of the option, the space before it in the first; 0 where there is none.
        characters: Characters of the option, without the space.
        bytes: UTF-8 bytes of the option, without the space.
        provenance: Where it comes from.
    """

    languages: tuple[str, ...]
    fact_ids: tuple[str, ...]
    relations: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    gold: Int[np.ndarray, " fact"]
    log_probability: Float[np.ndarray, "fact language option"]
    tokens: Int[np.ndarray, "fact language option"]
    characters: Int[np.ndarray, "fact language option"]
    bytes: Int[np.ndarray, "fact language option"]
    provenance: Provenance

    kind: ClassVar[str] = "behaviour"

    def scores(self, normalization: str = "byte") -> Float[np.ndarray, "fact language option"]:
        """Return what options are compared by, in nats or nats per unit of length; NaN where there is none.

        ``sum``: the log-probability. ``token``, ``character``, ``byte``: divided by that length. Sums favour short
        options, tokens depend on the tokenizer's treatment of a script; bytes are the default of the field's harness.

        Raises:
            ResultError: The normalisation is unknown.
        """
        if normalization not in NORMALIZATIONS:
            raise ResultError(
                f"Unknown normalisation '{normalization}'.{nearest(normalization, NORMALIZATIONS)} "
                f"There is: {', '.join(NORMALIZATIONS)}."
            )
        if normalization == "sum":
            return self.log_probability
        length = {"token": self.tokens, "character": self.characters, "byte": self.bytes}[normalization]
        return np.where(length > 0, self.log_probability / np.maximum(length, 1), np.nan)

    def credit(self, normalization: str = "byte") -> Float[np.ndarray, "fact language"]:
        """Return 1 where the right option alone scores highest, a share where options tie, and 0 elsewhere."""
        return credit(self.scores(normalization), self.gold)

    @cached_property
    def chance(self) -> float:
        """Expected accuracy of a guess: the mean of 1 / number of options."""
        return float((1 / pool_sizes(self.log_probability)).mean())

    def by_language(self, normalization: str = "byte") -> pd.DataFrame:
        """One row per language: accuracy with Wilson's 95 % interval, ties, and how many facts."""
        import pandas as pd

        earned, ties = self.credit(normalization), tie_rate(self.scores(normalization))
        rows = []
        for code, mean, column, tied in zip(self.languages, accuracy(earned), earned.T, ties, strict=True):
            low, high = wilson(round(float(column.sum())), len(column))
            rows.append(
                {
                    "language": code,
                    "n": len(column),
                    "accuracy": float(mean),
                    "low": low,
                    "high": high,
                    "ties": float(tied),
                }
            )
        return pd.DataFrame(rows)

    def consistency(self, normalization: str = "byte") -> dict[str, float]:
        """Return how alike the languages answer, 0 to 1.

        ``total_consistency``: facts right in all languages. ``agree_wrong``: facts with one wrong answer in all.
        ``agreement``: pairs of languages with the same answer. ``rankc`` with the floor and chance of these pools, and
        ``rankc_both_wrong``: on facts that both languages get wrong, where agreeing is no knowledge of the fact; over
        the pairs of languages that have such facts, NaN when none has.
        """
        scores = self.scores(normalization)
        right = self.credit(normalization) == 1
        ranks = rankc(scores)
        floor, chance = rankc_bounds(pool_sizes(scores))
        return {
            "total_consistency": total_consistency(right),
            "agree_wrong": float(np.mean(agree_wrong(scores, self.gold))),
            "agreement": float(pair_mean(mean_over_facts(pairwise_agreement(scores)))),
            "rankc": float(pair_mean(mean_over_facts(ranks))),
            "rankc_floor": floor,
            "rankc_chance": chance,
            "rankc_both_wrong": _over_pairs(mean_over_facts(ranks, both_wrong(right))),
        }

    def to_frame(self, normalization: str = "byte") -> pd.DataFrame:
        """One row per fact and language: what was answered, and what it earned."""
        import pandas as pd

        scores, earned = self.scores(normalization), self.credit(normalization)
        fact, language = np.indices(earned.shape)
        return pd.DataFrame(
            {
                "fact_id": np.array(self.fact_ids)[fact.ravel()],
                "relation": np.array(self.relations)[fact.ravel()],
                "split": np.array(self.splits)[fact.ravel()],
                "language": np.array(self.languages)[language.ravel()],
                "gold": self.gold[fact.ravel()],
                "answer": np.nanargmax(scores, axis=2).ravel(),
                "credit": earned.ravel(),
            }
        )

    def __repr__(self) -> str:
        found, same = self.by_language(), self.consistency()
        shown = " ".join(f"{row.language} {row.accuracy:.3f}" for row in found.itertuples())
        return (
            f"BehaviourResult of {self.provenance.checkpoint or 'a model'} on {self.provenance.prompts or 'facts'}: "
            f"{len(self.fact_ids)} facts, options by log-probability per byte (chance {self.chance:.3f})\n"
            f"  accuracy  {shown}\n"
            f"  right in all {len(self.languages)} languages {same['total_consistency']:.3f}; same wrong answer in all "
            f"{same['agree_wrong']:.3f}; pairs that agree {same['agreement']:.3f}"
        )


def _over_pairs(matrix: Float[np.ndarray, "language language"]) -> float:
    """Mean over the pairs of different languages that have a value."""
    values = matrix[np.triu_indices(len(matrix), k=1)]
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
