"""Keys and values of what stands before the first patched position: every row of a sweep shares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

__all__ = ["SharedPrefix"]


class SharedPrefix(DynamicCache):
    """A cache of a few prompts that many rows read and none writes.

    The decoder builds its masks from it as from any cache; ``owners`` says which prompt each row of the batch
    belongs to.
    """

    def __init__(self, cache: Any, length: int):
        super().__init__()
        self.owners = torch.zeros(0, dtype=torch.long)
        for layer in cache.layers:
            prefix = DynamicLayer()
            prefix.lazy_initialization(layer.keys, layer.values)
            prefix.keys, prefix.values = layer.keys[..., :length, :], layer.values[..., :length, :]
            self.layers.append(prefix)

    @staticmethod
    def holds(cache: Any, width: int) -> bool:
        """Whether a cache has the keys and values of all positions of all layers.

        A window or shared layers hold fewer.
        """
        layers: list[Any] = getattr(cache, "layers", [])
        plain = all(isinstance(layer, DynamicLayer) and layer.is_initialized for layer in layers)
        return bool(layers) and plain and all(layer.keys.shape[-2] == width for layer in layers)

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Mapping[str, Any],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the prefix in front of every row's keys and values, and keep nothing."""
        prefix: Any = self.layers[layer_idx]
        both = ((prefix.keys, key_states), (prefix.values, value_states))
        keys, values = (torch.cat([self._rows(old, new), new], dim=-2) for old, new in both)
        return keys, values

    def _rows(self, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        if len(old) == 1:
            return old.expand(len(new), -1, -1, -1)
        return old[self.owners.to(old.device)]
