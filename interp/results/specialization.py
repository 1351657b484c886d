"""Language specialization of MLP neurons, from counts of active tokens alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.results.lape import lape_polyfact, lape_upstream
from interp.results.settings.specialization import SpecializationSettings
from interp.results.units import UnitResult
from interp.stats import binary_entropy

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SpecializationResult", "SpecializationSettings", "activity_information", "language_information"]


def activity_information(rate: Float[np.ndarray, " language *unit"]) -> Float[np.ndarray, "*unit"]:
    """Mutual information between language and a unit being active, in nats; languages weigh equally.

    I = H(mean of rates) - mean of H(rate), with H the entropy of a yes/no event. Range 0 (the same rate in
    every language, which includes a unit that never or always fires) to log 2. A neuron that always fires in
    one of n languages and never elsewhere has H(1/n): 0.287 nats of 12, 0.637 of 3.

    Unlike LAPE it weighs a unit by how much its activity tells, so a neuron that fired once in two million
    tokens carries almost nothing, and its mean over a model can rise or fall with training.
    """
    return binary_entropy(rate.mean(axis=0)) - binary_entropy(rate).mean(axis=0)


def language_information(rate: Float[np.ndarray, " language *unit"]) -> Float[np.ndarray, " language *unit"]:
    """What activity tells of a language: KL of its rate from the mean rate, nats; their mean: information.

    Range 0 to log(n_languages).
    """
    mean = rate.mean(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        on = np.where(rate > 0, rate * np.log(rate / mean), 0.0)
        off = np.where(rate < 1, (1 - rate) * np.log((1 - rate) / (1 - mean)), 0.0)
    return on + off


@dataclass(frozen=True, eq=False, repr=False)
class SpecializationResult(UnitResult):
    """Counts of active tokens of every neuron, per language and block.

    A neuron is active on a token when its activated gate is above zero (for SiLU and GELU: when the gate is).

    Attributes:
        counts: Active tokens.
    """

    counts: Int[np.ndarray, "language block layer neuron"]

    kind: ClassVar[str] = "specialization"
    unit: ClassVar[str] = "neuron"
    score_name: ClassVar[str] = "specialization (nats)"

    def activity(self, blocks: Bool[np.ndarray, " block"]) -> Float[np.ndarray, "language layer unit"]:
        """Rate: share of counted tokens on which the neuron is active."""
        total = self.counts[:, blocks].sum(axis=1, dtype=np.int64)
        return total / self.tokens[:, blocks].sum(axis=1)[:, None, None]

    @staticmethod
    def score(activity: Float[np.ndarray, "language layer unit"]) -> Float[np.ndarray, "layer unit"]:
        """See `activity_information`."""
        return activity_information(activity)

    @property
    def rates(self) -> Float[np.ndarray, "language layer neuron"]:
        """Share of tokens on which each neuron is active (0 to 1)."""
        return self.activity(np.ones(self.n_blocks, dtype=bool))

    def smoothed_rates(self, alpha: float = 0.5) -> Float[np.ndarray, "language layer neuron"]:
        """Rates with ``alpha`` active and ``alpha`` inactive tokens added, for LAPE on unequal token counts.

        The specialization score needs no smoothing: the jackknife removes its bias.
        """
        counts = self.counts.sum(axis=1, dtype=np.int64)
        return (counts + alpha) / (self.tokens.sum(axis=1)[:, None, None] + 2 * alpha)

    def selected(self) -> Bool[np.ndarray, "language layer unit"]:
        """LAPE as upstream publishes it, at its default thresholds."""
        return lape_upstream(self.rates).mask

    def specialized(self, threshold: float = 0.05) -> Bool[np.ndarray, "language layer neuron"]:
        """Neurons with specialization above ``threshold`` nats, under the language they tell most about.

        The count is free to fall with training, unlike LAPE's fixed 1 %. 0.05 nats is about a sixth of a
        perfect detector of one language out of 12.
        """
        rate = self.rates
        telling = np.where(rate > rate.mean(axis=0), language_information(rate), -np.inf)
        best = telling.argmax(axis=0)
        return (np.arange(len(self.languages))[:, None, None] == best) & (self.scores.value > threshold)

    def by_language(self) -> pd.DataFrame:
        """One row per language: prompts, tokens, and the neurons that are called its own in three ways.

        ``specialized``: above 0.05 nats, see `specialized`; ``lape``: as its authors publish it;
        ``lape_polyfact``: as the PolyFact repository runs it. The last two select a fixed share of all
        neurons.
        """
        return self._counts().assign(
            specialized=self.specialized().sum(axis=(1, 2)),
            lape=self.selected().sum(axis=(1, 2)),
            lape_polyfact=lape_polyfact(self.rates).mask.sum(axis=(1, 2)),
        )

    def per_language(self) -> tuple[str, Float[np.ndarray, "language layer unit"]]:
        """Rates."""
        return "rate", self.rates
