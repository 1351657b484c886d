"""Scores per unit (neurons or heads), with the uncertainty of blocks of facts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.results.base import Note, Provenance, Result
from interp.results.fields import Languages, Numbers
from interp.results.noise import NoiseFloor, noise_floor
from interp.stats import FEW_CLUSTERS, Jackknife, interval_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UnitResult"]

Units = TypeVar("Units", bound="UnitResult")


@dataclass(frozen=True, eq=False, repr=False)
class UnitResult(Result):
    """Sufficient statistics of units (neurons or heads) per language and block, and the scores they define.

    Every statistic is an array ``[language, block, ...]``. Blocks are fixed groups of facts, the same in
    every language and checkpoint, and carry all uncertainty.

    Attributes:
        languages: Codes, in the order of the language axis.
        tokens: Counted tokens.
        items: Prompts.
        provenance: Where it comes from.
    """

    languages: Languages
    tokens: Annotated[Int[np.ndarray, "language block"], Numbers(1)]
    items: Annotated[Int[np.ndarray, "language block"], Numbers(1)]
    provenance: Provenance

    shortest: ClassVar[Mapping[str, int]] = {"language": 2, "block": 2}
    unit: ClassVar[str]
    score_name: ClassVar[str]

    @abstractmethod
    def activity(self, blocks: Bool[np.ndarray, " block"]) -> Float[np.ndarray, "language layer unit"]:
        """How much each unit is used by each language, from the chosen blocks."""

    @staticmethod
    @abstractmethod
    def score(activity: Float[np.ndarray, "language layer unit"]) -> Float[np.ndarray, "layer unit"]:
        """Plug-in specialization of each unit, in nats."""

    @abstractmethod
    def selected(self) -> Bool[np.ndarray, "language layer unit"]:
        """The published way to call units specific to a language, at its default thresholds."""

    @property
    def exists(self) -> Bool[np.ndarray, "layer unit"]:
        """Which places hold a unit: not all, where layers differ in how many they have."""
        return np.ones(self._statistics()[0].shape[2:], dtype=bool)

    @property
    def rated(self) -> Bool[np.ndarray, "layer unit"]:
        """Which units have a score."""
        return self.exists

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return self.tokens.shape[1]

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self._statistics()[0].shape[2]

    @property
    def layer_numbers(self) -> Sequence[int]:
        """What the layers are called in the model: not all of them have such units."""
        return range(self.n_layers)

    @cached_property
    def scores(self) -> Jackknife:
        """Specialization of each unit in nats, ``[layer, unit]``, bias-corrected; NaN of a unit without one.

        Unbiased estimates scatter around zero for a unit without specialization, so they can be slightly
        negative.
        """
        return self._over_blocks(lambda blocks: self.score(self.activity(blocks)))

    @property
    def per_layer(self) -> Jackknife:
        """Mean specialization of the units of each layer that have a score, in nats, ``[layer]``."""
        return self.scores.known_mean()

    @property
    def overall(self) -> Jackknife:
        """Mean specialization over all units, in nats; layers weigh equally."""
        return self.per_layer.known_mean()

    @cached_property
    def noise_floor(self) -> NoiseFloor:
        """How much mean specialization moves when nothing changes that matters: `interp.results.noise`."""
        return noise_floor(self)

    def summary(self) -> pd.DataFrame:
        """One row per layer, and last over all: mean specialization in nats, 95 % interval over blocks."""
        import pandas as pd

        places = [*map(str, self.layer_numbers), "all"]
        rows = []
        for place, mean in ((p, self._mean_at(i)) for i, p in enumerate(places)):
            low, high = mean.interval()
            row = {"layer": place, "mean": float(mean.value), "low": float(low), "high": float(high)}
            rows.append({**row, "n_blocks": self.n_blocks})
        return pd.DataFrame(rows)

    def diagnostics(self) -> list[str]:
        """Whether the units are more specialized than with shuffled language labels; few blocks."""
        mean, chance = self.overall, self.noise_floor.chance
        if np.isnan(mean.value):
            layers = np.flatnonzero(np.isnan(self.per_layer.value)).tolist()
            return [
                f"The {self.unit}s' mean specialization is not a number in layers "
                f"{', '.join(map(str, layers))}: a language "
                "has no counts there. Measure again with --fresh."
            ]
        notes: list[str] = []
        if self.n_blocks < FEW_CLUSTERS:
            notes.append(
                Note(
                    f"{self.n_blocks} blocks of facts, fewer than {FEW_CLUSTERS}: intervals over them are "
                    "wide."
                )
            )
        low, high = mean.interval()
        if (low if mean.standard_error > 0 else mean.value) > chance:
            return notes
        return [
            *notes,
            f"The {self.unit}s' mean specialization, {self.overall.value:.2g} nats "
            f"{interval_text(low, high, '.2g')}, is not "
            f"above that with shuffled language labels (up to {chance:.2g}): the 95 % interval reaches "
            "below it. "
            f"One larger than that by {mean.mde():.2g} would have been found in 80 %.",
        ]

    @abstractmethod
    def by_language(self) -> pd.DataFrame:
        """One row per language: ``language``, ``prompts``, ``tokens``, and what is counted of its units."""

    def subset(self: Units, blocks: Sequence[int]) -> Units:
        """The result from some of its blocks."""
        index = np.asarray(blocks)
        return self._mapped(lambda array: np.ascontiguousarray(array[:, index]))

    def with_permuted_languages(self: Units, rng: np.random.Generator) -> Units:
        """The result with language labels shuffled within each block, as if they meant nothing."""
        order = np.stack([rng.permutation(len(self.languages)) for _ in range(self.n_blocks)], axis=1)
        columns = np.arange(self.n_blocks)
        return self._mapped(lambda array: array[order, columns])

    def __repr__(self) -> str:
        overall, (low, high) = self.overall, self.overall.interval()
        n_units = self.scores.plug_in.shape[1]
        return (
            f"{type(self).__name__} of {self.provenance.checkpoint or 'a model'} on "
            f"{self.provenance.prompts or 'prompts'}\n"
            f"  mean {self.score_name} {overall.value:.4g}  {interval_text(low, high, '.4g')} 95 %\n"
            f"  {self.n_layers} layers x {n_units} {self.unit}s, {len(self.languages)} languages, "
            f"{self.tokens.sum():,} tokens in {self.items.sum():,} prompts, {self.n_blocks} blocks"
        )

    @abstractmethod
    def per_language(self) -> tuple[str, Float[np.ndarray, "language layer unit"]]:
        """Name and values of what `to_frame` shows for each language."""

    def to_frame(self) -> pd.DataFrame:
        """One row per unit: layer, unit, specialization, its standard error, and a column per language."""
        import pandas as pd

        layer, unit = np.nonzero(self.exists)
        name, values = self.per_language()
        return pd.DataFrame(
            {
                "layer": np.asarray(self.layer_numbers)[layer],
                **self._places(layer, unit),
                "specialization_nats": self.scores.value[layer, unit],
                "standard_error": self.scores.standard_error[layer, unit],
                **{f"{name}_{code}": values[i][layer, unit] for i, code in enumerate(self.languages)},
            }
        )

    def _places(
        self, layer: Int[np.ndarray, " place"], unit: Int[np.ndarray, " place"]
    ) -> dict[str, np.ndarray]:
        """What `to_frame` calls units of layers."""
        return {self.unit: unit}

    def _counts(self) -> pd.DataFrame:
        """Prompts and tokens of each language."""
        import pandas as pd

        counts = {"prompts": self.items.sum(axis=1), "tokens": self.tokens.sum(axis=1)}
        return pd.DataFrame({"language": list(self.languages), **counts})

    def _mean_at(self, place: int) -> Jackknife:
        """Mean specialization of a layer; of all where there is no such layer."""
        mean = self.per_layer
        if place == self.n_layers:
            return mean.known_mean()
        return Jackknife(mean.plug_in[place], mean.replicates[:, place])

    def _over_blocks(self, statistic: Callable[[Bool[np.ndarray, " block"]], np.ndarray]) -> Jackknife:
        """A statistic of chosen blocks: of all, and of all but each."""
        every = np.ones(self.n_blocks, dtype=bool)
        replicates = [statistic(_without(every, block)) for block in range(self.n_blocks)]
        return Jackknife(statistic(every), np.stack(replicates))

    def _statistics(self) -> list[np.ndarray]:
        return [a for a in self._arrays().values() if a.ndim == 4]

    def _mapped(self: Units, change: Callable[[np.ndarray], np.ndarray]) -> Units:
        changed: dict[str, Any] = {name: change(array) for name, array in self._arrays().items()}
        return replace(self, **changed)


def _without(blocks: Bool[np.ndarray, " block"], block: int) -> Bool[np.ndarray, " block"]:
    remaining = blocks.copy()
    remaining[block] = False
    return remaining
