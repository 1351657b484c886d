"""Free generation: what a model wrote for every fact in every language, and which answer each text names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.results.answers import AnswersResult
from interp.results.base import Provenance
from interp.results.fields import Along, FactIds, Languages, Lengths, Numbers, PerFact, PerFactLanguage
from interp.results.settings.scorings import MATCHES, default_match

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MATCHES", "GenerationResult", "default_match"]


@dataclass(frozen=True, eq=False, repr=False)
class GenerationResult(AnswersResult):
    """Completions, and what was read in them. The other attributes are those of `AnswersResult`.

    Attributes:
        texts: What the model wrote, per fact and language.
        hits: Whether the text names the right answer, by each of `MATCHES`.
        named: Number of the option that the text names, -1 where it names none or several.
        n_tokens: Tokens written, the stop token included.
        ended: Whether the model stopped by itself.
        empty: Whether it wrote no letter or digit.
    """

    languages: Languages
    fact_ids: FactIds
    relations: PerFact
    groups: PerFact
    answers: PerFact
    splits: PerFact
    golds: PerFactLanguage
    aligned: bool
    gold: Annotated[Int[np.ndarray, " fact"], Numbers(0)]
    texts: Annotated[tuple[tuple[str, ...], ...], Along("fact language", free=True)]
    hits: Bool[np.ndarray, "fact language match"]
    named: Annotated[Int[np.ndarray, "fact language"], Numbers(-1)]
    n_tokens: Annotated[Int[np.ndarray, "fact language"], Numbers(0)]
    ended: Bool[np.ndarray, "fact language"]
    empty: Bool[np.ndarray, "fact language"]
    provenance: Provenance

    headlines: ClassVar[Mapping[str, str]] = {
        "accuracy": "mean accuracy over languages",
        "right in all languages": "the share of facts that are right in all languages (Total Consistency)",
    }
    kind: ClassVar[str] = "generation"
    lengths: ClassVar[Lengths] = {"match": lambda n: len(MATCHES)}
    scorings: ClassVar[tuple[str, ...]] = MATCHES

    @property
    def default_scoring(self) -> str:
        """See `default_match`."""
        return default_match(self.provenance.settings.get("protocol", ""))

    def credit(self, scoring: str = "auto") -> Float[np.ndarray, "fact language"]:
        """Return 1 where the text names the right answer, else 0."""
        return self.hits[..., MATCHES.index(self.checked(scoring))].astype(float)

    def agreement(self, scoring: str = "auto") -> Float[np.ndarray, "fact language language"]:
        """1 where the texts of two languages name the same option; naming none agrees with nothing."""
        self.require_aligned()
        same = self.named[:, :, None] == self.named[:, None, :]
        return (same & (self.named[:, :, None] >= 0)).astype(float)

    def agree_wrong(self, scoring: str = "auto") -> Float[np.ndarray, " fact"]:
        """1 where the texts name one and the same wrong option in all languages, else 0."""
        self.require_aligned()
        first = self.named[:, 0]
        same = (self.named == first[:, None]).all(axis=1)
        return (same & (first >= 0) & (first != self.gold)).astype(float)

    @property
    def chance(self) -> float:
        """0: nothing is offered to guess from."""
        return 0.0

    def by_language(self, scoring: str = "auto") -> pd.DataFrame:
        """As of `AnswersResult`, and what tells how a model fails: each share of its texts, 0 to 1.

        ``resolved``: name one of the fact's options. ``empty``: no letter or digit. ``ended``: the model
        stopped by itself. ``tokens``: mean length.
        """
        table = super().by_language(scoring)
        shares = {"empty": self.empty, "ended": self.ended, "tokens": self.n_tokens}
        if self.aligned:
            shares = {"resolved": self.named >= 0, **shares}
        return table.assign(**{name: values.mean(axis=0) for name, values in shares.items()})

    def answer_columns(self, scoring: str = "auto") -> dict[str, Any]:
        """The text, the option that it names, and each way to match it."""
        flat = self.hits.reshape(-1, len(MATCHES))
        return {
            "text": [text for row in self.texts for text in row],
            "option": self.named.ravel(),
            **{f"hit_{name}": flat[:, i] for i, name in enumerate(MATCHES)},
        }
