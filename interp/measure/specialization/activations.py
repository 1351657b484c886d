"""Count on how many tokens each neuron is active, per language and block, in one pass."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int

from interp.measure.blocks import cell_weights, cells_of
from interp.measure.passes import require_finite
from interp.model.experts import Routed
from interp.model.hooks import reading
from interp.model.loading import LoadedModel
from interp.model.sites import Neurons, Site
from interp.model.tokens import Batch, EncodedPrompts

__all__ = ["NeuronCounter"]


class NeuronCounter:
    """Counts of active tokens, kept on each layer's device; of experts, among the tokens routed to them.

    Beside the counts, one layer's activations are alive at a time; nothing grows with the number of prompts.
    """

    def __init__(self, loaded: LoadedModel, encoded: EncodedPrompts):
        self.loaded = loaded
        self.encoded = encoded
        architecture = loaded.architecture
        architecture.require_neurons("gate")
        self._parts = {part.gate: part for parts in architecture.neurons for part in parts}
        cells = len(encoded.languages) * encoded.n_blocks
        self._counts = {
            site: torch.zeros(
                cells, part.count, dtype=torch.int32, device=_device(architecture.layers[part.layer])
            )
            for site, part in self._parts.items()
        }
        self._routed = {
            site: torch.zeros(cells, part.n_experts, dtype=torch.int32, device=self._counts[site].device)
            for site, part in self._parts.items()
            if part.n_experts
        }

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Count a batch: all of it, or nothing if it raises."""
        cells, weights = cell_weights(self.encoded, batch)
        totals: dict[Site, tuple[torch.Tensor, torch.Tensor]] = {}
        routed: dict[Site, tuple[torch.Tensor, torch.Tensor]] = {}

        def count(value: torch.Tensor | Routed, site: Site) -> None:
            if isinstance(value, Routed):
                totals[site], routed[site] = self._count_routed(batch, value, self._parts[site])
                return
            rows = value.flatten(0, -2)
            # 0/1 in float32: one pass, and the product is exact below 2^24 tokens
            active = torch.gt(rows, 0, out=torch.empty(rows.shape, dtype=torch.float32, device=rows.device))
            totals[site] = cells.to(active.device), (weights.to(active.device) @ active).int()

        with reading(self.loaded.architecture, dict.fromkeys(self._parts, count)):
            hidden = self.loaded.architecture.body(**batch.inputs()).last_hidden_state
        require_finite(self.loaded, self.encoded, batch, hidden)
        for kept, new in ((self._counts, totals), (self._routed, routed)):
            for site, (rows, values) in new.items():
                total = kept[site].view(-1, values.shape[-1])  # a row per cell, or per cell and expert
                total.index_add_(0, rows.to(total.device), values.to(total))

    def counts(self) -> Int[np.ndarray, "language block layer neuron"]:
        """The counts so far (int32; totals can need int64); 0 where a layer has fewer neurons."""
        n_neurons = self.loaded.architecture.n_neurons
        found = np.zeros((*self._shape, n_neurons), dtype=np.int32)
        for site, part in self._parts.items():
            where = slice(part.first, part.first + part.count)
            found[:, :, part.layer, where] = self._counts[site].cpu().numpy().reshape(*self._shape[:2], -1)
        return found

    def routed(self) -> Int[np.ndarray, "language block layer expert"] | None:
        """The tokens that are routed to every expert so far; None without experts."""
        n_experts = max((part.n_experts for part in self._parts.values()), default=0)
        found = np.zeros((*self._shape, n_experts), dtype=np.int32)
        for site, total in self._routed.items():
            where = slice(0, self._parts[site].n_experts)
            found[:, :, site.layer, where] = total.cpu().numpy().reshape(*self._shape[:2], -1)
        return found if n_experts else None

    def state(self) -> dict[str, np.ndarray]:
        """The counts, for resuming."""
        routed = self.routed()
        return {"counts": self.counts(), **({} if routed is None else {"routed": routed})}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        for name, kept in (("counts", self._counts), ("routed", self._routed)):
            for site, total in kept.items():
                part = self._parts[site]
                first, count = (part.first, part.count) if name == "counts" else (0, part.n_experts)
                saved = state[name][:, :, part.layer, first : first + count]
                total.copy_(torch.from_numpy(np.ascontiguousarray(saved)).reshape(total.shape))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(self.encoded.languages), self.encoded.n_blocks, self.loaded.architecture.n_layers

    def _count_routed(
        self, batch: Batch, value: Routed, part: Neurons
    ) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Rows of cells and experts with the active tokens of their neurons, and with their tokens."""
        device = value.values.device
        width = batch.ids.shape[1]
        counted = batch.counted.to(device).flatten()[value.token]
        cell = cells_of(self.encoded, batch).to(device)[value.token // width]
        key = (cell * part.n_experts + value.expert)[counted]
        rows, where = torch.unique(key, return_inverse=True)
        # no count exceeds the pairs of a token and an expert: short numbers take half the room
        small = torch.int16 if len(key) < 2**15 else torch.int32
        active = torch.zeros(len(rows), part.width, dtype=small, device=device)
        active.index_add_(0, where, (value.values[counted] > 0).to(small))
        tokens = torch.bincount(where, minlength=len(rows)).unsqueeze(1)
        return (rows, active), (rows, tokens)


def _device(layer: torch.nn.Module) -> torch.device:
    return next(layer.parameters()).device
