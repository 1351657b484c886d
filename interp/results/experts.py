"""Whom the routers of a mixture of experts send where, per language, from sums and counts alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.results.fields import Along, Numbers
from interp.results.heads import importance_information
from interp.results.noise import halves
from interp.results.units import UnitResult
from interp.stats import Jackknife, entropy, interval_text, ratio, shares_of_total

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PIVOT", "ExpertsResult", "router_divergence"]

PIVOT = "en"
"""The language that divergence is counted from; the first one where it is not among them."""
_OWN = 0.1  # of a language's tokens
_ROUNDING = 1e-12  # of an entropy, nats


def router_divergence(
    one: Float[np.ndarray, "... expert"], other: Float[np.ndarray, "... expert"]
) -> Float[np.ndarray, ...]:
    """Entropy-normalized Jensen-Shannon divergence of two distributions over experts (0 to 1).

    JSD(p, q) / (ln E - (H(p) + H(q)) / 2), with JSD(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2 and E the
    number of experts: the part of what the two hold apart from uniform routing that they do not share. 0: the
    same distribution, two uniform ones among them; 1: their mean is uniform, as of two that
    share no expert and use half of all each. Leading axes are broadcast.

    Source: Bandarkar et al. (2025), arXiv 2510.04694, whose mean over tokens is taken per parallel sentence;
    here over all counted tokens of a language, with blocks of facts for the interval.
    """
    within = (_entropy(one) + _entropy(other)) / 2
    apart = _entropy((one + other) / 2) - within
    return np.where(apart > _ROUNDING, ratio(apart, np.log(one.shape[-1]) - within), 0.0)


@dataclass(frozen=True, eq=False, repr=False)
class ExpertsResult(UnitResult):
    """Sums of the router's distribution and counts of what it chose, per language and block.

    Every counted token has ``top_k`` experts in each of the layers, so a layer's usage always sums to 1: what
    can grow with training is how much the language tells of the expert (*specialization*, nats) and how far
    apart the router's distributions are (`divergence`), never how much is routed.

    Attributes:
        layers: Numbers of the layers that route.
        probability: Sum over counted tokens of the router's distribution: softmax of its logits; of sigmoid
            routers their scores divided by their sum. Correction biases and groups of experts act on the
            choice alone.
        chosen: Counted tokens among whose top-k experts this one is. Experts that all tokens share are none.
    """

    layers: Annotated[tuple[int, ...], Along("layer", unique=True), Numbers(0)]
    probability: Annotated[Float[np.ndarray, "language block layer expert"], Numbers(0)]
    chosen: Annotated[Int[np.ndarray, "language block layer expert"], Numbers(0, most="tokens")]

    kind: ClassVar[str] = "experts"
    unit: ClassVar[str] = "expert"
    score_name: ClassVar[str] = "specialization (nats)"

    def flaws(self) -> Iterator[tuple[str, str]]:
        """Tokens with different numbers of experts, and distributions that do not sum to 1."""
        tokens = self.tokens[:, :, None]
        if (self.chosen.sum(axis=-1) != self.top_k * tokens).any():
            yield "'chosen' has tokens with different numbers of experts", f"{self.top_k} of every token"
        if not np.allclose(self.probability.sum(axis=-1), tokens, rtol=1e-3):
            yield "'probability' does not sum to the number of tokens", "a distribution per token"

    @property
    def layer_numbers(self) -> Sequence[int]:
        """Those that route."""
        return self.layers

    @property
    def top_k(self) -> int:
        """Experts of every token, beside those that all share."""
        return int(self.chosen[0, 0, 0].sum() // self.tokens[0, 0])

    @property
    def reference(self) -> str:
        """The language that divergence is counted from."""
        return PIVOT if PIVOT in self.languages else self.languages[0]

    @property
    def others(self) -> tuple[str, ...]:
        """The languages but `reference`."""
        return tuple(code for code in self.languages if code != self.reference)

    def activity(self, blocks: Bool[np.ndarray, " block"]) -> Float[np.ndarray, "language layer unit"]:
        """Usage: share of a layer's top-k choices that falls on the expert (sums to 1 over experts)."""
        return shares_of_total(self.chosen[:, blocks].sum(axis=1), axis=-1)

    @staticmethod
    def score(activity: Float[np.ndarray, "language layer unit"]) -> Float[np.ndarray, "layer unit"]:
        """The expert's part of I(language; expert), times the number of experts: their mean is I itself.

        I = H(mean of usage) - mean of H(usage) over languages, which weigh equally: 0 (the same usage in
        every language) to log(n_languages) nats.
        """
        weight = activity.mean(axis=0) * activity.shape[-1]
        return weight * importance_information(activity)

    @property
    def usage(self) -> Float[np.ndarray, "language layer expert"]:
        """See `activity`; of all blocks."""
        return self.activity(np.ones(self.n_blocks, dtype=bool))

    @property
    def distribution(self) -> Float[np.ndarray, "language layer expert"]:
        """Mean of the router's distribution over counted tokens (sums to 1 over experts)."""
        return self._distribution(np.ones(self.n_blocks, dtype=bool))

    def selected(self) -> Bool[np.ndarray, "language layer unit"]:
        """Experts of a language: chosen for a share of its tokens that is larger by more than 0.1 than the
        mean share in the other languages.

        The threshold is ours. Without specialization there are none.
        """
        share = self.chosen.sum(axis=1) / self.tokens.sum(axis=1)[:, None, None]
        others = (share.sum(axis=0) - share) / (len(share) - 1)
        return share - others > _OWN

    @cached_property
    def divergence(self) -> Jackknife:
        """`router_divergence` of all pairs, ``[layer, language, language]``, bias-corrected over blocks."""
        return self._of_distributions(lambda q: np.moveaxis(router_divergence(q[:, None], q[None]), -1, 0))

    @cached_property
    def divergence_from_reference(self) -> Jackknife:
        """`router_divergence` of `reference` and each of `others`, ``[layer, language]``."""
        own = self.languages.index(self.reference)
        return self._of_distributions(lambda q: router_divergence(q[own], np.delete(q, own, axis=0)).T)

    @property
    def divergence_per_layer(self) -> Jackknife:
        """Mean divergence of `others` from `reference`, ``[layer]``."""
        return self.divergence_from_reference.mean()

    @cached_property
    def divergence_floor(self) -> Float[np.ndarray, " layer"]:
        """Mean divergence of one half of a language's text from the other, over halvings and languages.

        Larger than by chance: halves are of other facts, where languages are compared on the same, and half
        as long, and their bias is left in. Shuffled language labels would not do: mixtures of languages are
        nearer to uniform routing, where what divergence is a share of goes to zero.
        """
        splits = halves(self.n_blocks, np.random.default_rng(0))
        found = [
            router_divergence(*(self._distribution(np.isin(range(self.n_blocks), half)) for half in pair))
            for pair in splits
        ]
        floor: np.ndarray = np.mean(found, axis=(0, 1))
        return floor

    def summary(self) -> pd.DataFrame:
        """One row per layer that routes, and last over all.

        ``mean``: mutual information of language and expert, nats, with its interval over blocks;
        ``divergence``: mean divergence of `others` from `reference` with its interval, and ``floor``:
        see `divergence_floor`.
        """
        per_layer = self.divergence_per_layer
        every = per_layer.mean()
        low, high = (np.append(*ends) for ends in zip(per_layer.interval(), every.interval(), strict=True))
        return (
            super()
            .summary()
            .assign(
                divergence=np.append(per_layer.value, every.value),
                divergence_low=low,
                divergence_high=high,
                floor=np.append(self.divergence_floor, self.divergence_floor.mean()),
            )
        )

    def by_language(self) -> pd.DataFrame:
        """One row per language: prompts, tokens, experts that are its own (`selected`), and its divergence.

        ``divergence``: from `reference`, mean over layers, with its interval; NaN of that language itself.
        """
        index = [self.languages.index(code) for code in self.others]
        found = self.divergence_from_reference
        mean = Jackknife(found.plug_in.mean(axis=0), found.replicates.mean(axis=1))
        columns = {}
        named = ("divergence", "low", "high")
        for name, values in zip(named, (mean.value, *mean.interval()), strict=True):
            columns[name] = np.full(len(self.languages), np.nan)
            columns[name][index] = values
        return self._counts().assign(experts=self.selected().sum(axis=(1, 2)), **columns)

    def pairs(self) -> pd.DataFrame:
        """One row per layer and pair of languages: divergence and its 95 % interval over blocks."""
        import pandas as pd

        low, high = self.divergence.interval()
        return pd.DataFrame(
            (
                self.layers[layer],
                one,
                other,
                *(float(of[layer, i, j]) for of in (self.divergence.value, low, high)),
            )
            for layer in range(self.n_layers)
            for i, one in enumerate(self.languages)
            for j, other in enumerate(self.languages)
            if i < j
        ).set_axis(["layer", "one", "other", "divergence", "low", "high"], axis=1)

    def diagnostics(self) -> list[str]:
        """As of all units, and whether languages diverge by more than halves of the text of one."""
        mean = self.divergence_per_layer.mean()
        floor = float(self.divergence_floor.mean())
        low, high = mean.interval()
        if (low if mean.standard_error > 0 else mean.value) > floor:
            return super().diagnostics()
        return [
            *super().diagnostics(),
            f"The routers' mean divergence from '{self.reference}', {float(mean.value):.2g} "
            f"{interval_text(low, high, '.2g')}, is not above that of two halves of one language's text "
            f"({floor:.2g}): the 95 % interval reaches below it.",
        ]

    def per_language(self) -> tuple[str, Float[np.ndarray, "language layer unit"]]:
        """Usage."""
        return "usage", self.usage

    def to_frame(self) -> pd.DataFrame:
        """One row per expert of a layer: specialization, its standard error, usage and mean router
        probability of each language."""
        frame = super().to_frame()
        q = self.distribution.reshape(len(self.languages), -1)
        return frame.assign(**{f"probability_{code}": q[i] for i, code in enumerate(self.languages)})

    def _distribution(self, blocks: Bool[np.ndarray, " block"]) -> Float[np.ndarray, "language layer expert"]:
        return shares_of_total(self.probability[:, blocks].sum(axis=1), axis=-1)

    def _of_distributions(self, statistic: Callable[[np.ndarray], np.ndarray]) -> Jackknife:
        return self._over_blocks(lambda blocks: statistic(self._distribution(blocks)))


def _entropy(distribution: Float[np.ndarray, "*place expert"]) -> Float[np.ndarray, "*place"]:
    return entropy(np.moveaxis(distribution, -1, 0))
