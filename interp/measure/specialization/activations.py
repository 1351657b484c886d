"""Count on how many tokens each neuron is active, per language and block, in one pass."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int

from interp.measure.passes import require_finite
from interp.model.hooks import reading
from interp.model.loading import LoadedModel
from interp.model.sites import Site
from interp.model.tokens import Batch, EncodedPrompts

__all__ = ["NeuronCounter"]


class NeuronCounter:
    """Counts of active tokens, kept on each layer's device.

    Beside the counts, one layer's activations are alive at a time; nothing grows with the number of prompts.
    """

    def __init__(self, loaded: LoadedModel, encoded: EncodedPrompts):
        self.loaded = loaded
        self.encoded = encoded
        architecture = loaded.architecture
        architecture.require("mlp_gate")
        cells = len(encoded.languages) * encoded.n_blocks
        self._counts = [
            torch.zeros(cells, architecture.n_neurons, dtype=torch.int32, device=_device(layer))
            for layer in architecture.layers
        ]

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Count a batch: all of it, or nothing if it raises."""
        cells, weights = self._cell_weights(batch)
        totals: dict[int, torch.Tensor] = {}

        def count(value: torch.Tensor, site: Site) -> None:
            rows = value.flatten(0, -2)
            # 0/1 in float32: one pass, and the product is exact below 2^24 tokens
            active = torch.gt(rows, 0, out=torch.empty(rows.shape, dtype=torch.float32, device=rows.device))
            totals[site.layer] = (weights.to(active.device) @ active).int()

        sites = [Site("mlp_gate", layer) for layer in range(self.loaded.architecture.n_layers)]
        with reading(self.loaded.architecture, dict.fromkeys(sites, count)):
            hidden = self.loaded.architecture.body(**batch.inputs()).last_hidden_state
        require_finite(self.loaded, self.encoded, batch, hidden)
        for layer, total in enumerate(self._counts):
            total.index_add_(0, cells.to(total.device), totals[layer])

    def counts(self) -> Int[np.ndarray, "language block layer neuron"]:
        """The counts so far (int32; a total over blocks can need int64)."""
        shape = (len(self.encoded.languages), self.encoded.n_blocks, -1)
        return np.stack([c.cpu().numpy().reshape(shape) for c in self._counts], axis=2)

    def state(self) -> dict[str, np.ndarray]:
        """The counts, for resuming."""
        return {"counts": self.counts()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        for layer, total in enumerate(self._counts):
            total.copy_(torch.from_numpy(state["counts"][:, :, layer].reshape(total.shape)))

    def _cell_weights(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch's cells (language x block), and a 0/1 matrix [cell, prompt * token] to count by."""
        rows = [item.language * self.encoded.n_blocks + item.block for item in batch.items]
        cells, where = torch.unique(torch.tensor(rows, device=batch.ids.device), return_inverse=True)
        member = torch.nn.functional.one_hot(where, len(cells)).T.float()
        weights = member[:, :, None] * batch.counted.float()[None]
        return cells, weights.flatten(1)


def _device(layer: torch.nn.Module) -> torch.device:
    return next(layer.parameters()).device
