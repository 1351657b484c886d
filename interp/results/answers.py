"""Which facts a model answers rightly in every language, and how alike the answers are, in any mode."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from interp.errors import ResultError, nearest
from interp.results.base import FactResult, Note
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
from interp.results.fields import PerFact, PerFactLanguage
from interp.stats import ALPHA, clustered_share, holm, interval_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AnswersResult", "refuse_letters"]


class AnswersResult(FactResult):
    """Answers to the same facts in several languages.

    ``scoring`` says what an answer earns: what a summed log-probability is divided by before options are
    compared, or when a text names the answer. All scorings are in the result, so another one needs no model.

    Attributes:
        languages: Codes, in the order of the language axis.
        fact_ids: In the order of the fact axis.
        relations: Relation of each fact.
        groups: Cluster of each fact.
        answers: Label of each fact's right answer, one for all facts of one answer
            (`interp.data.priors.answers_of`).
        splits: Split of each fact.
        golds: The right answer's name, per fact and language.
        aligned: Whether answers can be compared between languages; if not, only right answers can.
    """

    relations: PerFact
    answers: PerFact
    splits: PerFact
    golds: PerFactLanguage
    aligned: bool

    scorings: ClassVar[tuple[str, ...]]

    @property
    def clusterings(self) -> dict[str, tuple[str, ...]]:
        """As of `FactResult`, and ``answer``: all facts of one right answer."""
        return {**super().clusterings, "answer": self.answers}

    def clusters(self, cluster: str = "group") -> tuple[str, ...]:
        """As of `FactResult`; letters are no clusters.

        Raises:
            ResultError: There is no such one, or answers are letters, which unrelated facts share.
        """
        if cluster == "answer":
            refuse_letters(self.answers)
        return super().clusters(cluster)

    @abstractmethod
    def credit(self, scoring: str = "auto") -> Float[np.ndarray, "fact language"]:
        """What each answer earns, 0 to 1; above 0 and below 1 only where options tie."""

    @abstractmethod
    def agreement(self, scoring: str = "auto") -> Float[np.ndarray, "fact language language"]:
        """1 where two languages give the same answer, right or wrong, else 0; of ties, the chance of it.

        Raises:
            ResultError: Answers are not aligned between languages.
        """

    @abstractmethod
    def agree_wrong(self, scoring: str = "auto") -> Float[np.ndarray, " fact"]:
        """1 where all languages give one and the same wrong answer, else 0; of ties, the chance of it."""

    @property
    @abstractmethod
    def chance(self) -> float:
        """Expected accuracy of a guess; 0 where nothing is offered to guess from."""

    @property
    @abstractmethod
    def default_scoring(self) -> str:
        """What ``auto`` stands for."""

    def checked(self, scoring: str) -> str:
        """Return a scoring; for ``auto`` the default of this kind.

        Raises:
            ResultError: There is no such scoring.
        """
        if scoring == "auto":
            return self.default_scoring
        if scoring not in self.scorings:
            raise ResultError(
                f"A '{self.kind}' result has no scoring '{scoring}'.{nearest(scoring, self.scorings)} "
                f"Choose from: {', '.join(self.scorings)}."
            )
        return scoring

    def right(self, scoring: str = "auto") -> Bool[np.ndarray, "fact language"]:
        """Where the right answer alone was given."""
        return self.credit(scoring) == 1

    def by_language(self, scoring: str = "auto") -> pd.DataFrame:
        """One row per language: ``n`` facts, ``n_clusters``, ``accuracy``, its interval ``low`` to ``high``.

        The 95 % interval is Wilson's over clusters of facts; ``p``: that a guess is right as often (NaN
        without chance); ``mde``: how much more than chance would have been found in 80 %, with p corrected
        over the languages. ``relation_macro`` is the mean over relations of their accuracies: large ones
        weigh as small ones.
        """
        import pandas as pd

        earned = self.credit(scoring)
        rows = []
        for code, column in zip(self.languages, earned.T, strict=True):
            share = clustered_share(column, self.groups, null=self.chance or None)
            macro = relation_macro(column, self.relations).value
            smallest = share.mde(alpha=ALPHA / len(self.languages))
            rows.append(
                {
                    "language": code,
                    **share.columns("accuracy"),
                    "p": share.p,
                    "mde": smallest,
                    "relation_macro": macro,
                }
            )
        return pd.DataFrame(rows)

    def by_class(self, classes: Mapping[str, Sequence[str]], scoring: str = "auto") -> dict[str, Mean]:
        """Macro mean accuracy over the languages of each class that are here, with their number."""
        return group_means(accuracy(self.credit(scoring)), self.languages, classes)

    def by_stratum(
        self, masks: Mapping[str, Bool[np.ndarray, " fact"]], scoring: str = "auto"
    ) -> dict[str, Mean]:
        """Mean accuracy over languages, over the facts of each mask, with their number."""
        return strata(self.credit(scoring).mean(axis=1), masks, self.groups)

    def by_spelling(self, scoring: str = "auto") -> dict[str, Mean]:
        """Accuracy where the right answer is spelled as in English, and elsewhere, with numbers of items.

        A name that is the same in two languages can be carried over by copying. English itself does not
        count; the first language takes its place where it is not among the languages.
        """
        anchor = self.languages.index("en") if "en" in self.languages else 0
        names = np.array([[name.casefold() for name in row] for row in self.golds])
        alike = names == names[:, [anchor]]
        others = np.arange(len(self.languages)) != anchor
        earned, alike = self.credit(scoring)[:, others].ravel(), alike[:, others].ravel()
        like = f"as in {self.languages[anchor]}"
        clusters = np.repeat(self.groups, others.sum()).tolist()
        return strata(earned, {f"spelled {like}": alike, "spelled otherwise": ~alike}, clusters)

    def histogram(self, scoring: str = "auto") -> np.ndarray:
        """Number of facts that are right in exactly k languages, for k from 0."""
        return consistency_histogram(self.right(scoring))

    def histogram_shares(self, scoring: str = "auto") -> Float[np.ndarray, " count"]:
        """Share of facts that are right in exactly k languages, for k from 0."""
        return self.histogram(scoring) / len(self.fact_ids)

    def over_languages(self, scoring: str = "auto") -> pd.Series:
        """The mean over languages of every number in `by_language`."""
        return self.by_language(scoring).drop(columns="language").mean()

    def consistency(self, scoring: str = "auto") -> dict[str, float]:
        """Return how alike the languages answer, 0 to 1.

        ``total_consistency``: facts right in all languages. Where answers are aligned also ``agree_wrong``:
        facts with one wrong answer in all; ``agreement``: pairs of languages with the same answer.
        """
        scores = {"total_consistency": total_consistency(self.right(scoring))}
        if self.aligned and len(self.languages) > 1:
            scores["agree_wrong"] = float(np.mean(self.agree_wrong(scoring)))
            scores["agreement"] = float(pair_mean(mean_over_facts(self.agreement(scoring))))
        return scores

    def quantities(self, scoring: str = "auto") -> dict[str, Float[np.ndarray, " fact"]]:
        """Accuracy over all languages and in each; right in all; of aligned answers, pairs that agree."""
        earned = self.credit(scoring)
        per_fact = {f"accuracy {code}": earned[:, i] for i, code in enumerate(self.languages)}
        if len(self.languages) > 1:
            per_fact = {"accuracy": earned.mean(axis=1), **per_fact}
            per_fact["right in all languages"] = (earned == 1).all(axis=1).astype(float)
            if self.aligned:
                per_fact["pairs that agree"] = pair_mean(self.agreement(scoring))
        return per_fact

    def is_share(self, quantity: str) -> bool:
        """Every quantity is."""
        return True

    def zero(self, quantity: str) -> float | None:
        """Chance for accuracy; what guessing gives of the other quantities depends on how a model guesses."""
        return self.chance if quantity.startswith("accuracy") else None

    def above_chance(self, scoring: str = "auto") -> Bool[np.ndarray, " language"]:
        """Languages whose accuracy is shown to be above chance, by Holm's p over all languages below .05."""
        table = self.by_language(scoring)
        if not self.chance:
            return (table.low > 0).to_numpy()
        found: np.ndarray = (table.accuracy > self.chance) & (holm(table.p.to_numpy()) < ALPHA)
        return np.asarray(found)

    def diagnostics(self, scoring: str = "auto", cluster: str = "group") -> list[str]:
        """Whether accuracy is above chance in no language; few clusters; what the run left open."""
        clustered = self.clustered(cluster)
        notes: list[str] = [Note(note) for note in self.provenance.run.get("notes", ())]
        notes += super(AnswersResult, clustered).diagnostics()
        table = clustered.by_language(scoring)
        if clustered.above_chance(scoring).any():
            return notes
        smallest = float(np.nanmin(table.mde)) if table.mde.notna().any() else float("nan")
        return [
            f"Accuracy is not above chance ({self.chance:.3f}) in any language, at most "
            f"{table.accuracy.max():.3f} (p by "
            f"Holm over {len(table)} languages; {smallest:.3f} more than chance would have been found in 80 "
            "%). Does the "
            "model know this prompt format?",
            *notes,
        ]

    def to_frame(self, scoring: str = "auto") -> pd.DataFrame:
        """One row per fact and language: the right answer, the model's, and what it earned."""
        import pandas as pd

        earned = self.credit(scoring)
        fact, language = (index.ravel() for index in np.indices(earned.shape))
        return pd.DataFrame(
            {
                "fact_id": np.array(self.fact_ids)[fact],
                "relation": np.array(self.relations)[fact],
                "split": np.array(self.splits)[fact],
                "language": np.array(self.languages)[language],
                "gold": [self.golds[f][c] for f, c in zip(fact, language, strict=True)],
                **self.answer_columns(scoring),
                "credit": earned.ravel(),
            }
        )

    @abstractmethod
    def answer_columns(self, scoring: str = "auto") -> dict[str, Any]:
        """What `to_frame` shows of the answers, by fact and then language."""

    def require_aligned(self) -> None:
        """Refuse what compares wrong answers between languages.

        Raises:
            ResultError: Answers are not aligned.
        """
        if not self.aligned:
            raise ResultError(
                "Answers of these facts cannot be compared between languages: their options have no ids, or "
                "there are none. So agreement and RankC are not available; give an alignment, or use right "
                "answers only."
            )

    def __repr__(self) -> str:
        rows = [
            f"  accuracy {row.language}  {row.accuracy:.3f}  {interval_text(row.low, row.high, '.3f')} 95 %"
            for row in self.by_language().itertuples()
        ]
        alike = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in self.consistency().items()]
        head = (
            f"{type(self).__name__} of {self.provenance.checkpoint or 'a model'} on "
            f"{self.provenance.prompts or 'facts'}: {len(self.fact_ids)} facts, {self.default_scoring} "
            f"(chance {self.chance:.3f})"
        )
        return "\n".join([head, *rows, f"  {', '.join(alike)}"])


def refuse_letters(answers: Sequence[str]) -> None:
    """Refuse answers as clusters of facts where they are letters.

    Raises:
        ResultError: Some are; names them.
    """
    letters = sorted({answer for answer in answers if len(answer) == 1 and answer.isascii()})
    if letters:
        raise ResultError(
            f"Answers are letters ({', '.join(letters)}), which unrelated facts share, so they are no "
            "clusters. Use --cluster group, or fact."
        )
