"""Which facts a model answers rightly in every language, and how alike the answers are, however they were asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from interp.errors import ResultError, nearest
from interp.results.base import FactResult
from interp.results.consistency import (
    Mean,
    accuracy,
    consistency_histogram,
    group_means,
    mean_over_facts,
    pair_mean,
    relation_macro,
    strata,
    total_consistency,
)
from interp.stats import clustered_share

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AnswersResult"]


class AnswersResult(FactResult):
    """Answers to the same facts in several languages.

    An answer is read off in one of several ways (``reading``): a normalization of log-probabilities, or a rule that
    says whether a text names the answer. All of them are in the result, so another one needs no model.

    Attributes:
        languages: Codes, in the order of the language axis.
        fact_ids: In the order of the fact axis.
        relations: Relation of each fact.
        groups: Cluster of each fact.
        answers: Id of each fact's right answer.
        splits: Split of each fact.
        golds: The right answer's name, per fact and language.
        aligned: Whether an answer can be compared between languages; where it is false, only right answers can.
    """

    relations: tuple[str, ...]
    answers: tuple[str, ...]
    splits: tuple[str, ...]
    golds: tuple[tuple[str, ...], ...]
    aligned: bool

    readings: ClassVar[tuple[str, ...]]
    default_reading: ClassVar[str]

    @abstractmethod
    def credit(self, reading: str = "") -> Float[np.ndarray, "fact language"]:
        """What each answer earns, 0 to 1; above 0 and below 1 only where options tie."""

    @abstractmethod
    def agreement(self, reading: str = "") -> Float[np.ndarray, "fact language language"]:
        """1 where two languages give the same answer, right or wrong, else 0.

        Raises:
            ResultError: Answers are not aligned between languages.
        """

    @abstractmethod
    def agree_wrong(self, reading: str = "") -> Bool[np.ndarray, " fact"]:
        """Facts with one and the same wrong answer in all languages."""

    @property
    @abstractmethod
    def chance(self) -> float:
        """Expected accuracy of a guess; 0 where nothing is offered to guess from."""

    def checked(self, reading: str) -> str:
        """Return a reading, the default when empty.

        Raises:
            ResultError: There is no such reading.
        """
        if reading and reading not in self.readings:
            raise ResultError(
                f"Unknown reading '{reading}' of a '{self.kind}' result.{nearest(reading, self.readings)} "
                f"There is: {', '.join(self.readings)}."
            )
        return reading or self.default_reading

    def right(self, reading: str = "") -> Bool[np.ndarray, "fact language"]:
        """Where the right answer alone was given."""
        return self.credit(reading) == 1

    def by_language(self, reading: str = "") -> pd.DataFrame:
        """One row per language: ``n`` facts, ``n_clusters``, ``accuracy``, its interval ``low`` to ``high``.

        The 95 % interval is Wilson's over clusters of facts; ``p``: that a guess is right as often (NaN
        without chance).

        ``relation_macro`` is the mean over relations of their accuracies, where a large relation weighs as a
        small one.
        """
        import pandas as pd

        earned = self.credit(reading)
        rows = []
        for code, column in zip(self.languages, earned.T, strict=True):
            found = clustered_share(column, self.groups, null=self.chance or None)
            macro = relation_macro(column, self.relations).value
            rows.append(
                {"language": code, **found.columns("accuracy"), "p": found.p, "relation_macro": macro}
            )
        return pd.DataFrame(rows)

    def by_class(self, classes: Mapping[str, Sequence[str]], reading: str = "") -> dict[str, Mean]:
        """Macro mean accuracy over the languages of each class that are here, with their number."""
        return group_means(accuracy(self.credit(reading)), self.languages, classes)

    def by_stratum(
        self, masks: Mapping[str, Bool[np.ndarray, " fact"]], reading: str = ""
    ) -> dict[str, Mean]:
        """Mean accuracy over languages, over the facts of each mask, with their number."""
        return strata(self.credit(reading).mean(axis=1), masks)

    def by_spelling(self, reading: str = "") -> dict[str, Mean]:
        """Accuracy where the right answer is spelled as in English, and where it is not, with the numbers of items.

        A name that is the same in two languages can be carried over by copying. English itself does not count; the
        first language takes its place where it is not among the languages.
        """
        anchor = self.languages.index("en") if "en" in self.languages else 0
        names = np.array([[name.casefold() for name in row] for row in self.golds])
        alike = names == names[:, [anchor]]
        others = np.arange(len(self.languages)) != anchor
        earned, alike = self.credit(reading)[:, others].ravel(), alike[:, others].ravel()
        said = f"as in {self.languages[anchor]}"
        return strata(earned, {f"spelled {said}": alike, f"not spelled {said}": ~alike})

    def histogram(self, reading: str = "") -> np.ndarray:
        """Number of facts that are right in exactly k languages, for k from 0."""
        return consistency_histogram(self.right(reading))

    def is_share(self, quantity: str) -> bool:
        """Every quantity is."""
        return True

    def histogram_shares(self, reading: str = "") -> Float[np.ndarray, " count"]:
        """Share of facts that are right in exactly k languages, for k from 0."""
        return self.histogram(reading) / len(self.fact_ids)

    def over_languages(self, reading: str = "") -> pd.Series:
        """The mean over languages of every number in `by_language`."""
        return self.by_language(reading).drop(columns="language").mean()

    def consistency(self, reading: str = "") -> dict[str, float]:
        """Return how alike the languages answer, 0 to 1.

        ``total_consistency``: facts right in all languages. Where answers are aligned also ``agree_wrong``: facts with
        one wrong answer in all; ``agreement``: pairs of languages with the same answer.
        """
        found = {"total_consistency": total_consistency(self.right(reading))}
        if self.aligned and len(self.languages) > 1:
            found["agree_wrong"] = float(np.mean(self.agree_wrong(reading)))
            found["agreement"] = float(pair_mean(mean_over_facts(self.agreement(reading))))
        return found

    def quantities(self, reading: str = "") -> dict[str, Float[np.ndarray, " fact"]]:
        """Accuracy over all languages and in each; right in all; where answers are aligned, pairs that agree."""
        earned = self.credit(reading)
        found = {f"accuracy {code}": earned[:, i] for i, code in enumerate(self.languages)}
        if len(self.languages) > 1:
            found = {"accuracy": earned.mean(axis=1), **found}
            found["right in all languages"] = (earned == 1).all(axis=1).astype(float)
            if self.aligned:
                found["pairs that agree"] = pair_mean(self.agreement(reading))
        return found

    def to_frame(self, reading: str = "") -> pd.DataFrame:
        """One row per fact and language: what was asked for, what was answered, and what it earned."""
        import pandas as pd

        earned = self.credit(reading)
        fact, language = (index.ravel() for index in np.indices(earned.shape))
        return pd.DataFrame(
            {
                "fact_id": np.array(self.fact_ids)[fact],
                "relation": np.array(self.relations)[fact],
                "split": np.array(self.splits)[fact],
                "language": np.array(self.languages)[language],
                "gold": [self.golds[f][c] for f, c in zip(fact, language, strict=True)],
                **self.answer_columns(reading),
                "credit": earned.ravel(),
            }
        )

    @abstractmethod
    def answer_columns(self, reading: str = "") -> dict[str, Any]:
        """What `to_frame` shows of the answers, by fact and then language."""

    def require_aligned(self) -> None:
        """Refuse what compares wrong answers between languages.

        Raises:
            ResultError: Answers are not aligned.
        """
        if not self.aligned:
            raise ResultError(
                "Answers of these facts cannot be compared between languages: their options have no ids (or there are "
                "none), so agreement and RankC are not available. Give an alignment, or use right answers only."
            )

    def __repr__(self) -> str:
        found = self.by_language()
        shown = " ".join(f"{row.language} {row.accuracy:.3f}" for row in found.itertuples())
        same = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in self.consistency().items()
        )
        return (
            f"{type(self).__name__} of {self.provenance.checkpoint or 'a model'} on "
            f"{self.provenance.prompts or 'facts'}: {len(self.fact_ids)} facts, {self.default_reading}"
            f" (chance {self.chance:.3f})\n  accuracy  {shown}\n  {same}"
        )
