"""Clean, corrupt and patched runs of facts: what was left out and why, and recovery as a ratio of means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from interp.errors import ResultError, nearest
from interp.results.base import FactResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEFT_OUT", "METRICS", "Ratio", "RunsResult", "ratio_of_means"]

METRICS = ("logit_diff", "answer_logprob", "probability", "rescued")
"""What a run is judged by: logit of the answer's first token minus that of a wrong one; log-probability of the whole answer
(nats); probability of its first token; and whether the first of these is above zero."""

LEFT_OUT = (
    "used",
    "source wrong",
    "target right",
    "no other answer",
    "same first token",
    "lengths differ",
)
"""Why a fact has no pair in a language: the source answers wrongly; the target needs no rescue; no fact of its relation has
another answer; the right and the wrong answer begin with the same token; positions would not correspond."""


class Ratio(NamedTuple):
    """A ratio of two means with its interval, per cell."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def ratio_of_means(
    above: Float[np.ndarray, fact * cell],
    below: Float[np.ndarray, " fact"],
    groups: Sequence[str],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> Ratio:
    """Mean(above) / mean(below) per cell, and a 95 % percentile interval from resampling groups of facts.

    A fact whose own ``below`` is tiny has a ratio of its own that is huge, and the mean of such ratios is ruled by the
    facts with the least to recover; the ratio of means weighs each fact by what there is to recover. Facts that are NaN in
    a cell count in neither mean of that cell. NaN where a cell has no fact, or its mean(below) is not above zero.
    """
    cells = above.shape[1:]
    flat = above.reshape(len(above), -1)
    known = ~np.isnan(flat) & ~np.isnan(below)[:, None]
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([number[group] for group in groups], dtype=np.int64)
    totals = np.zeros((2, len(number), flat.shape[1]))
    np.add.at(totals[0], codes, np.where(known, flat, 0))
    np.add.at(totals[1], codes, np.where(known, below[:, None], 0))
    here = np.zeros(len(number), dtype=bool)
    here[codes[known.any(axis=1)]] = True
    totals = totals[:, here]
    n = totals.shape[1]
    weights = (
        np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), draws) if n else np.zeros((draws, 0))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        whole, each = totals.sum(axis=1), weights @ totals
        value = np.where(whole[1] > 0, whole[0] / whole[1], np.nan)
        found = np.where(each[1] > 0, each[0] / each[1], np.nan)
    low, high = np.full((2, flat.shape[1]), np.nan)
    good = ~np.isnan(found).any(
        axis=0
    )  # where some resamples have nothing to recover, no interval can be given
    if good.any():
        low[good], high[good] = np.quantile(found[:, good], [0.025, 0.975], axis=0)
    return Ratio(value.reshape(cells), low.reshape(cells), high.reshape(cells))


class RunsResult(FactResult):
    """Facts whose source and target were run, per language.

    Attributes:
        languages: Codes of the languages asked.
        fact_ids: All facts that were looked at, also those that were left out.
        groups: What each fact is resampled with.
        metrics: Names along the metric axis: those of `METRICS` but the last, and ``probability <code>`` of the first token of
            the answer's name in other languages.
        left_out: Index into `LEFT_OUT`; 0 where the fact was used.
        clean: Metrics of the source run; NaN where left out.
        corrupt: Metrics of the target run, unpatched; NaN where left out.
    """

    metrics: tuple[str, ...]
    left_out: Int[np.ndarray, "fact language"]
    clean: Float[np.ndarray, "fact language metric"]
    corrupt: Float[np.ndarray, "fact language metric"]

    def reasons(self) -> pd.DataFrame:
        """One row per language: how many facts were used, and how many were left out for which reason."""
        import pandas as pd

        counts = [np.bincount(column, minlength=len(LEFT_OUT)) for column in self.left_out.T]
        return pd.DataFrame(counts, columns=list(LEFT_OUT), index=list(self.languages))

    def of_metric(
        self, values: Float[np.ndarray, "fact language metric *cell"], metric: str, language: str = ""
    ) -> Float[np.ndarray, fact * cell]:
        """One metric per fact: in a language, or the mean over the languages in which the fact was used.

        Raises:
            ResultError: The metric or the language is unknown.
        """
        chosen = values[:, :, self._metric(metric)].astype(np.float64)
        if metric == "rescued":
            chosen = np.where(np.isnan(chosen), np.nan, chosen > 0)
        if language:
            if language not in self.languages:
                raise ResultError(
                    f"No language '{language}' in this result; there is: {', '.join(self.languages)}."
                )
            return chosen[:, self.languages.index(language)]
        known = ~np.isnan(chosen)
        with np.errstate(invalid="ignore"):
            return np.where(known, chosen, 0).sum(axis=1) / np.where(
                known.any(axis=1), known.sum(axis=1), np.nan
            )

    def gap(self, metric: str, language: str = "") -> Float[np.ndarray, " fact"]:
        """What there is to recover: clean minus corrupt, per fact."""
        return self.of_metric(self.clean, metric, language) - self.of_metric(self.corrupt, metric, language)

    def _metric(self, metric: str) -> int:
        name = "logit_diff" if metric == "rescued" else metric
        if name not in self.metrics:
            known = (*self.metrics, "rescued")
            raise ResultError(
                f"Unknown metric '{metric}'.{nearest(metric, known)} There is: {', '.join(known)}."
            )
        return self.metrics.index(name)
