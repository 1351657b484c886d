"""Measure whom routers send where in each language: one pass of sums and counts -> ExpertsResult."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from interp.data.prompts import PromptSet
from interp.measure.blocks import cell_weights, require_full_blocks, require_tokens
from interp.measure.passes import Progress, require_finite, run_pass
from interp.measure.provenance import Measurement
from interp.model.loading import LoadedModel
from interp.model.routers import Routers, Routes
from interp.model.tokens import Batch, EncodedPrompts, length_sorted
from interp.results.experts import ExpertsResult
from interp.results.settings.experts import ExpertsSettings

__all__ = ["RouteCounter", "measure_experts"]


def measure_experts(
    loaded: LoadedModel,
    prompts: PromptSet,
    settings: ExpertsSettings | None = None,
    *,
    batch_tokens: int = 4096,
    padding: str = "right",
    resume: Path | None = None,
    progress: Progress | None = None,
) -> ExpertsResult:
    """Sum the router's distribution over counted tokens, and count the tokens that each expert gets.

    Args:
        loaded: The opened checkpoint.
        prompts: What is read; every language weighs equally.
        settings: Blocks of facts, and the fewest tokens per language.
        batch_tokens: Padded tokens per forward pass.
        padding: 'right' or 'left'; changes nothing but speed.
        resume: File for the state of an interrupted pass.
        progress: Called with batches done and batches in all.

    Raises:
        MeasurementError: Too few tokens, an item longer than the context, or activations that are not finite.
        CapabilityError: The model is no mixture of experts, or its routers cannot be read.
    """
    settings = settings or ExpertsSettings()
    routers = Routers(loaded.architecture)
    encoded = loaded.encode(prompts, settings.blocks)
    require_tokens(encoded, settings.min_tokens)
    require_full_blocks(encoded)
    measurement = Measurement.of(loaded, prompts, settings)
    counter = RouteCounter(loaded, encoded, routers)
    options = {"batch_tokens": batch_tokens, "padding": padding}
    largest = run_pass(
        loaded,
        encoded,
        length_sorted(encoded.items, batch_tokens),
        counter,
        padding=padding,
        resume=resume,
        key=measurement.key(**options),
        progress=progress,
    )
    shape = (len(encoded.languages), encoded.n_blocks, len(routers.layers), routers.n_experts)
    return ExpertsResult(
        prompts.languages,
        encoded.tokens(),
        encoded.n_items(),
        measurement.provenance(**options, largest_batch=largest),
        layers=routers.layers,
        probability=counter.probability.reshape(shape),
        chosen=counter.chosen.reshape(shape),
    )


class RouteCounter:
    """Sums per cell (language and block), layer and expert; nothing grows with the number of prompts.

    Attributes:
        probability: Of the router's distribution over counted tokens, ``[cell, layer, expert]``.
        chosen: Counted tokens that go to the expert, ``[cell, layer, expert]``.
    """

    def __init__(self, loaded: LoadedModel, encoded: EncodedPrompts, routers: Routers):
        self.loaded = loaded
        self.encoded = encoded
        self._routers = routers
        cells = len(encoded.languages) * encoded.n_blocks
        shape = (cells, len(routers.layers), routers.n_experts)
        self.probability = np.zeros(shape, dtype=np.float64)
        self.chosen = np.zeros(shape, dtype=np.int64)

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Add a batch: all of it, or nothing if it raises."""
        cells, weights = cell_weights(self.encoded, batch)
        sums: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

        def add(routes: Routes, layer: int) -> None:
            here = weights.to(routes.probability.device)
            # 0/1 in float32: the product is exact below 2^24 tokens
            taken = torch.zeros_like(routes.probability).scatter_(1, routes.chosen, 1.0)
            sums[layer] = here @ routes.probability, here @ taken

        with self._routers.reading(add):
            hidden = self.loaded.architecture.body(**batch.inputs()).last_hidden_state
        require_finite(self.loaded, self.encoded, batch, hidden)
        rows = cells.cpu().numpy()
        for place, layer in enumerate(self._routers.layers):
            probability, chosen = (each.cpu().numpy() for each in sums[layer])
            self.probability[rows, place] += probability
            self.chosen[rows, place] += chosen.astype(np.int64)

    def state(self) -> dict[str, np.ndarray]:
        """The sums, for resuming."""
        return {"probability": self.probability, "chosen": self.chosen}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        self.probability[:], self.chosen[:] = state["probability"], state["chosen"]
