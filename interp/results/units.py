"""Scores per unit (neurons or heads), with the uncertainty of blocks of facts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.results.base import Provenance, Result
from interp.stats import Jackknife

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UnitResult"]

Units = TypeVar("Units", bound="UnitResult")


@dataclass(frozen=True, eq=False, repr=False)
class UnitResult(Result):
    """Sufficient statistics of units (neurons or heads) per language and block, and the scores they define.

    Every statistic is an array ``[language, block, ...]``. Blocks are fixed groups of facts, the same in every
    language and checkpoint, and carry all uncertainty.

    Attributes:
        languages: Codes, in the order of the language axis.
        tokens: Counted tokens.
        items: Prompts.
        provenance: Where it comes from.
    """

    languages: tuple[str, ...]
    tokens: Int[np.ndarray, "language block"]
    items: Int[np.ndarray, "language block"]
    provenance: Provenance

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
    def n_blocks(self) -> int:
        """Number of blocks."""
        return self.tokens.shape[1]

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self._statistics()[0].shape[2]

    @cached_property
    def scores(self) -> Jackknife:
        """Specialization of each unit in nats, ``[layer, unit]``, bias-corrected over blocks.

        Unbiased estimates scatter around zero for a unit without specialization, so they can be slightly negative.
        """
        every = np.ones(self.n_blocks, dtype=bool)
        full = self.score(self.activity(every))
        replicates = np.stack([self.score(self.activity(_without(every, b))) for b in range(self.n_blocks)])
        return Jackknife(full, replicates)

    @property
    def per_layer(self) -> Jackknife:
        """Mean specialization of the units of each layer, in nats, ``[layer]``."""
        return self.scores.mean()

    @property
    def overall(self) -> Jackknife:
        """Mean specialization over all units, in nats."""
        return self.per_layer.mean()

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
            f"{type(self).__name__} of {self.provenance.checkpoint or 'a model'} on {self.provenance.prompts or 'prompts'}\n"
            f"  mean {self.score_name} {overall.value:.4g}  [{low:.4g}, {high:.4g}] 95 %\n"
            f"  {self.n_layers} layers x {n_units} {self.unit}s, {len(self.languages)} languages, "
            f"{self.tokens.sum():,} tokens in {self.items.sum():,} prompts, {self.n_blocks} blocks"
        )

    def _repr_html_(self) -> str:
        low, high = self.per_layer.interval()
        rows = "".join(
            f"<tr><td>{i}</td><td>{v:.4g}</td><td>[{a:.4g}, {b:.4g}]</td></tr>"
            for i, (v, a, b) in enumerate(zip(self.per_layer.value, low, high, strict=True))
        )
        head = f"<tr><th>layer</th><th>mean {escape(self.score_name)}</th><th>95 %</th></tr>"
        return f"<pre>{escape(repr(self))}</pre><table>{head}{rows}</table>"

    @abstractmethod
    def per_language_bars(self) -> tuple[str, Float[np.ndarray, " language"] | Int[np.ndarray, " language"]]:
        """What a figure shows of each language, in words, and its values."""

    @abstractmethod
    def per_language_columns(self) -> dict[str, list[str]]:
        """What a table shows of each language: heading to text."""

    @abstractmethod
    def per_language(self) -> tuple[str, Float[np.ndarray, "language layer unit"]]:
        """Name and values of what `to_frame` shows for each language."""

    def to_frame(self) -> pd.DataFrame:
        """One row per unit: layer, unit, specialization, its standard error, and a column per language."""
        import pandas as pd

        layer, unit = np.indices(self.scores.plug_in.shape)
        name, values = self.per_language()
        return pd.DataFrame(
            {
                "layer": layer.ravel(),
                self.unit: unit.ravel(),
                "specialization_nats": self.scores.value.ravel(),
                "standard_error": self.scores.standard_error.ravel(),
                **{f"{name}_{code}": values[i].ravel() for i, code in enumerate(self.languages)},
            }
        )

    def _statistics(self) -> list[np.ndarray]:
        return [a for a in self._arrays().values() if a.ndim == 4]

    def _mapped(self: Units, change: Callable[[np.ndarray], np.ndarray]) -> Units:
        changed: dict[str, Any] = {name: change(array) for name, array in self._arrays().items()}
        return replace(self, **changed)


def _without(blocks: Bool[np.ndarray, " block"], block: int) -> Bool[np.ndarray, " block"]:
    kept = blocks.copy()
    kept[block] = False
    return kept
