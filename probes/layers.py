"""Results with values per fact at every layer: their curves, quantities and table (numpy only)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from interp.results.base import FactResult
from interp.stats import known_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LayerResult", "layer_name"]


def layer_name(layer: int) -> str:
    """What a layer is called: its number, or ``emb.`` for what enters layer 0 (-1)."""
    return "emb." if layer < 0 else str(layer)


class LayerResult(FactResult):
    """A result with values per fact at every layer.

    Attributes:
        layers: Number of each layer; -1 for what enters layer 0.
    """

    layers: tuple[int, ...]
    uncompared: ClassVar[tuple[str, ...]] = ()
    pooled: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def curves(self) -> dict[str, Float[np.ndarray, "layer fact"]]:
        """Name to a value per layer and fact, NaN where a fact has none."""

    def quantities(self, *, every: bool = False) -> dict[str, Float[np.ndarray, " fact"]]:
        """Each curve's mean over the layers where it has a value, and its value at each layer.

        Checkpoints are compared neither by what is ``uncompared`` nor layer by layer by what is ``pooled``;
        ``every`` gives these as well.
        """
        per_fact = {}
        for name, values in self.curves().items():
            if every or name not in self.uncompared:
                per_fact[f"{name}, mean over layers"] = known_mean(values, axis=0)
            if every or name not in self.uncompared + self.pooled:
                for layer, row in zip(self.layers, values, strict=True):
                    per_fact[f"{name} layer {layer_name(layer)}"] = row
        return per_fact

    def by_layer(self) -> pd.DataFrame:
        """One row per curve and layer: ``n`` facts, ``n_clusters``, ``mean``, 95 % interval over clusters."""
        table = self.summary(every=True)
        parts = table.quantity.str.extract(r"^(?P<curve>.*) layer (?P<layer>\S+)$")
        return (
            parts.join(table[["n", "n_clusters", "mean", "low", "high"]])
            .dropna(subset="curve")
            .reset_index(drop=True)
        )
