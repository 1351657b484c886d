"""Clean, corrupt and patched runs of facts: what was left out and why, and recovery as a ratio of means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from jaxtyping import Float, Int

from interp.errors import ResultError, nearest
from interp.results.base import FactResult
from interp.results.settings.patching import METRICS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEFT_OUT", "METRICS", "Ratio", "RunsResult", "over_languages", "ratio_of_means"]

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


def over_languages(values: Float[np.ndarray, "fact asked *cell"]) -> Float[np.ndarray, fact * cell]:
    """Mean over the languages in which there is a value; NaN where there is none."""
    known = ~np.isnan(values)
    total, n = np.where(known, values, 0).sum(axis=1), known.sum(axis=1)
    return total / np.where(n > 0, n, np.nan)


class Ratio(NamedTuple):
    """A ratio of two means with its interval, per cell."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def ratio_of_means(
    above: Float[np.ndarray, fact * cell],
    below: Float[np.ndarray, fact * below],
    groups: Sequence[str],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> Ratio:
    """Mean(above) / mean(below) per cell, and a 95 % percentile interval from resampling groups of facts.

    A fact whose own ``below`` is tiny has a ratio of its own that is huge, and the mean of such ratios is ruled by the
    facts with the least to recover; the ratio of means weighs each fact by what there is to recover. ``below`` is one
    value per fact, or one per fact and cell. Facts that are NaN in a cell count in neither mean of that cell. NaN where a cell has no fact, or its mean(below) is not above zero.
    """
    cells = above.shape[1:]
    flat = above.reshape(len(above), -1)
    under = np.broadcast_to(below.reshape(len(below), -1), flat.shape)
    known = ~np.isnan(flat) & ~np.isnan(under)
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([number[group] for group in groups], dtype=np.int64)
    totals = np.zeros((2, len(number), flat.shape[1]))
    np.add.at(totals[0], codes, np.where(known, flat, 0))
    np.add.at(totals[1], codes, np.where(known, under, 0))
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

    _of_pairs: ClassVar[tuple[str, ...]] = ()
    """Arrays [fact, language, ...] beside clean and corrupt."""

    metrics: tuple[str, ...]
    left_out: Int[np.ndarray, "fact language"]
    clean: Float[np.ndarray, "fact language metric"]
    corrupt: Float[np.ndarray, "fact language metric"]

    def reasons(self) -> pd.DataFrame:
        """One row per language: how many facts were used, and how many were left out for which reason."""
        import pandas as pd

        counts = [np.bincount(column, minlength=len(LEFT_OUT)) for column in self.left_out.T]
        return pd.DataFrame(counts, columns=list(LEFT_OUT), index=list(self.languages))

    def counted(self) -> str:
        """How many pairs of a fact and a language were used, and why the others were left out, in words."""
        counts = self.reasons().sum()
        left = ", ".join(f"{counts[reason]} {reason}" for reason in LEFT_OUT[1:] if counts[reason])
        return f"{counts['used']} of {counts.sum()} fact-language pairs" + (
            f" (left out: {left})" if left else ""
        )

    def of_metric(
        self, values: Float[np.ndarray, "fact language metric *cell"], metric: str, language: str = ""
    ) -> Float[np.ndarray, "fact asked *cell"]:
        """One metric per fact and language, or in one language alone.

        Raises:
            ResultError: The metric or the language is unknown.
        """
        chosen = values[:, :, self._metric(metric)].astype(np.float64)
        if metric == "rescued":
            chosen = np.where(np.isnan(chosen), np.nan, chosen > 0)
        if not language:
            return chosen
        if language not in self.languages:
            raise ResultError(
                f"No language '{language}' in this result; there is: {', '.join(self.languages)}."
            )
        at = self.languages.index(language)
        return chosen[:, at : at + 1]

    def gap(self, metric: str, language: str = "") -> Float[np.ndarray, "fact asked"]:
        """What there is to recover: clean minus corrupt, per fact and language."""
        return self.of_metric(self.clean, metric, language) - self.of_metric(self.corrupt, metric, language)

    def in_common(self, other: Self) -> tuple[Self, Self]:
        """Both results with the facts and languages that have a pair in both.

        Which have one depends on what a checkpoint answers, so the means of two checkpoints are else over others.
        """
        used = (self.left_out == 0) & (other.left_out == 0)
        return self._only(used), other._only(used)

    def _only(self, used: np.ndarray) -> Self:
        masked: dict[str, Any] = {}
        for name in ("clean", "corrupt", *self._of_pairs):
            values = getattr(self, name)
            there = used.reshape(*used.shape, *[1] * (values.ndim - 2))
            masked[name] = np.where(there, values, np.nan).astype(values.dtype)
        made: Any = self
        return replace(made, **masked)

    def _metric(self, metric: str) -> int:
        name = "logit_diff" if metric == "rescued" else metric
        if name not in self.metrics:
            known = (*self.metrics, "rescued")
            raise ResultError(
                f"Unknown metric '{metric}'.{nearest(metric, known)} There is: {', '.join(known)}."
            )
        return self.metrics.index(name)
