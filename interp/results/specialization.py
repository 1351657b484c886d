"""Language specialization of MLP neurons, from counts of active tokens alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.results.fields import Numbers
from interp.results.lape import lape_polyfact, lape_upstream
from interp.results.units import UnitResult
from interp.stats import binary_entropy, ratio

if TYPE_CHECKING:
    import pandas as pd

FEWEST_ROUTED = 32
"""Tokens of a language that an expert's neurons need for a rate: its standard error is then up to 0.09."""

__all__ = [
    "FEWEST_ROUTED",
    "SpecializationResult",
    "activity_information",
    "language_information",
]


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
    An expert's neuron can only be active on tokens that are routed to the expert, so its rate is among these;
    it has no rate, in any language, while a language has fewer than ``FEWEST_ROUTED`` such tokens. Whom the
    router sends where is therefore no part of a neuron's specialization.

    Attributes:
        counts: Active tokens; a layer's experts one after another, then the neurons that every token has.
        routed: Tokens that are routed to each expert; None in a model without experts.
        parts: Per layer its experts, neurons of each, neurons that every token has; empty without experts.
    """

    counts: Annotated[Int[np.ndarray, "language block layer neuron"], Numbers(0, most="tokens")]
    routed: Int[np.ndarray, "language block layer expert"] | None = None
    parts: Annotated[tuple[tuple[int, int, int], ...], Numbers(0)] = ()

    kind: ClassVar[str] = "specialization"
    unit: ClassVar[str] = "neuron"
    score_name: ClassVar[str] = "specialization (nats)"

    def activity(self, blocks: Bool[np.ndarray, " block"]) -> Float[np.ndarray, "language layer unit"]:
        """Rate: share of counted tokens, or of those routed to the neuron's expert, on which it is active."""
        total = self.counts[:, blocks].sum(axis=1, dtype=np.int64)
        if self.routed is None:
            return total / self.tokens[:, blocks].sum(axis=1)[:, None, None]
        return ratio(np.where(self.rated, total, 0), np.where(self.rated, self._opportunities(blocks), 0))

    @property
    def exists(self) -> Bool[np.ndarray, "layer unit"]:
        """Which places hold a neuron: layers with experts have others than dense ones."""
        if self.routed is None:
            return super().exists
        ends = np.array([n_experts * width + always for n_experts, width, always in self.parts])
        return np.arange(self.counts.shape[3]) < ends[:, None]

    @property
    def rated(self) -> Bool[np.ndarray, "layer unit"]:
        """Which neurons have a rate: all but those of experts that a language hardly uses."""
        every = np.ones(self.n_blocks, dtype=bool)
        return self.exists & (self._opportunities(every).min(axis=0) >= FEWEST_ROUTED)

    def _opportunities(self, blocks: Bool[np.ndarray, " block"]) -> Int[np.ndarray, "language layer unit"]:
        """Tokens on which each neuron could have been active."""
        tokens = self.tokens[:, blocks].sum(axis=1, dtype=np.int64)
        found = np.broadcast_to(tokens[:, None, None], (len(tokens), *self.counts.shape[2:])).copy()
        if self.routed is not None:
            routed = self.routed[:, blocks].sum(axis=1, dtype=np.int64)
            for layer, (n_experts, width, _) in enumerate(self.parts):
                found[:, layer, : n_experts * width] = np.repeat(routed[:, layer, :n_experts], width, axis=1)
        return found

    def diagnostics(self) -> list[str]:
        """As of all units, and how many neurons have no rate."""
        left_out = int((self.exists & ~self.rated).sum()) if self.routed is not None else 0
        if not left_out:
            return super().diagnostics()
        return [
            *super().diagnostics(),
            f"{left_out:,} of {int(self.exists.sum()):,} neurons have no rate: fewer than "
            f"{FEWEST_ROUTED} tokens of a language are routed to their expert. Add prompts.",
        ]

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
        smoothed = (counts + alpha) / (self._opportunities(np.ones(self.n_blocks, dtype=bool)) + 2 * alpha)
        return smoothed if self.routed is None else np.where(self.rated, smoothed, np.nan)

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

    def _places(
        self, layer: Int[np.ndarray, " place"], unit: Int[np.ndarray, " place"]
    ) -> dict[str, np.ndarray]:
        """Neurons within their expert; those that every token has are of none (-1)."""
        if self.routed is None:
            return super()._places(layer, unit)
        n_experts, width, _ = np.array(self.parts)[layer].T
        within = unit < n_experts * width
        width = np.maximum(width, 1)
        return {
            "expert": np.where(within, unit // width, -1),
            "neuron": np.where(within, unit % width, unit - n_experts * width),
        }

    def per_language(self) -> tuple[str, Float[np.ndarray, "language layer unit"]]:
        """Rates."""
        return "rate", self.rates
