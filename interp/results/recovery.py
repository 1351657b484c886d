"""Clean, corrupt and patched runs of facts: what was left out and why, and what there is to recover."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Int

from interp.errors import ResultError, nearest
from interp.results.base import FactResult
from interp.results.fields import Along, Numbers
from interp.results.settings.patching import METRICS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEFT_OUT", "METRICS", "LeftOut", "Metrics", "Runs", "RunsResult"]

LEFT_OUT = (
    "used",
    "source wrong",
    "target right",
    "no other answer",
    "same first token",
    "lengths differ",
)
"""Why a fact has no pair in a language: the source answers wrongly; the target needs no rescue; no fact of
its relation has another answer; the right and the wrong answer begin with the same token; positions would not
correspond."""


Metrics = Annotated[tuple[str, ...], Along("metric", unique=True)]
LeftOut = Annotated[Int[np.ndarray, "fact language"], Numbers(0, len(LEFT_OUT) - 1)]
Runs = Annotated[Float[np.ndarray, "fact language metric"], Numbers(missing=True)]


class RunsResult(FactResult):
    """Facts whose source and target were run, per language.

    Attributes:
        languages: Codes of the languages asked.
        fact_ids: All facts that were looked at, also those that were left out.
        groups: Cluster of each fact.
        metrics: Names along the metric axis: those of `METRICS` but the last, and ``probability <code>`` of
            the first token of the answer's name in other languages.
        left_out: Index into `LEFT_OUT`; 0 where the fact was used.
        clean: Metrics of the source run; NaN where left out.
        corrupt: Metrics of the target run, unpatched; NaN where left out.
    """

    _of_pairs: ClassVar[tuple[str, ...]] = ()
    """Arrays [fact, language, ...] beside clean and corrupt."""

    metrics: Metrics
    left_out: LeftOut
    clean: Runs
    corrupt: Runs

    def flaws(self) -> Iterator[tuple[str, str]]:
        """Facts that were used without a run, or left out with one; no logit difference."""
        if METRICS[0] not in self.metrics:
            yield f"'metrics' are {', '.join(self.metrics)}", f"{METRICS[0]} among them"
            return
        used, at = (self.left_out == 0)[..., None], self.metrics.index(METRICS[0])
        for name in ("clean", "corrupt"):
            if (np.isnan(getattr(self, name)[..., at]) == used[..., 0]).any():
                yield (
                    f"'{name}' has values where facts were left out, or NaN where they were used",
                    "the reverse",
                )
        for name in self._of_pairs:
            values = getattr(self, name)
            if (~np.isnan(values) & ~used.reshape(*used.shape, *[1] * (values.ndim - used.ndim))).any():
                yield f"'{name}' has values where facts were left out", "NaN there"

    def reasons(self) -> pd.DataFrame:
        """One row per language: how many facts were used, and how many were left out for which reason."""
        import pandas as pd

        counts = [np.bincount(column, minlength=len(LEFT_OUT)) for column in self.left_out.T]
        return pd.DataFrame(counts, columns=list(LEFT_OUT), index=list(self.languages))

    def counted(self) -> str:
        """How many pairs of a fact and a language were used, and why the others were left out, in words."""
        counts = self.reasons().sum()
        return f"{counts['used']} of {counts.sum()} fact-language pairs{self._left_out_text()}"

    def _left_out_text(self) -> str:
        counts = self.reasons().sum()
        listed = ", ".join(f"{counts[reason]} {reason}" for reason in LEFT_OUT[1:] if counts[reason])
        return f" (left out: {listed})" if listed else ""

    def _first_line(self, what: str, sources: tuple[str, ...]) -> str:
        """Which runs these are, and how many pairs of facts, for a ``repr``."""
        origin = f"from {','.join(sources)} " if sources else ""
        return (
            f"{type(self).__name__} of {self.provenance.checkpoint or 'a model'}: {what} "
            f"{origin}in {','.join(self.languages)}; {self.reasons().used.sum()} pairs of "
            f"{len(self.fact_ids)} facts{self._left_out_text()}"
        )

    def of_metric(
        self, values: Float[np.ndarray, "fact language metric *cell"], metric: str, language: str = ""
    ) -> Float[np.ndarray, "fact target *cell"]:
        """One metric per fact and language, or in one language alone.

        Raises:
            ResultError: The metric or the language is unknown.
        """
        selected = values[:, :, self._metric(metric)].astype(np.float64)
        if metric == "rescued":
            selected = np.where(np.isnan(selected), np.nan, selected > 0)
        if not language:
            return selected
        if language not in self.languages:
            raise ResultError(
                f"No language '{language}' in this result; there is: {', '.join(self.languages)}."
            )
        at = self.languages.index(language)
        return selected[:, at : at + 1]

    def gap(self, metric: str, language: str = "") -> Float[np.ndarray, "fact target"]:
        """What there is to recover: clean minus corrupt, per fact and language."""
        return self.of_metric(self.clean, metric, language) - self.of_metric(self.corrupt, metric, language)

    def in_common(self, other: Self) -> tuple[Self, Self]:
        """Both results with the facts and languages that have a pair in both.

        Which have one depends on what a checkpoint answers, so the means of two checkpoints are else over
        others.
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
