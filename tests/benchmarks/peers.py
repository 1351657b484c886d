"""The same quantities by other means: neuron counts in TransformerLens and nnsight, head gradients one item
at a time."""

from __future__ import annotations

import numpy as np
import torch

from interp.measure.specialization.heads import scaled_heads
from interp.model.interop import to_nnsight, to_transformer_lens, transformer_lens_name
from interp.model.loading import LoadedModel
from interp.model.sites import Site
from interp.model.tokens import Batch
from tests.benchmarks.workload import LANGUAGES, N_BLOCKS, rectangle


class PeerCounts:
    """Counts [cell, neuron] per layer by the product that ours uses, with the cells' weights prepared
    beforehand."""

    def __init__(self, loaded: LoadedModel, batch: Batch):
        self.loaded = loaded
        self.ids = batch.ids
        architecture = loaded.architecture
        rows = torch.tensor([i.language * N_BLOCKS + i.block for i in batch.items])
        self.cells, where = torch.unique(rows, return_inverse=True)
        member = torch.nn.functional.one_hot(where, len(self.cells)).T.float()
        self.weights = (member[:, :, None] * batch.counted.float()[None]).flatten(1)
        size = (len(LANGUAGES) * N_BLOCKS, architecture.n_neurons)
        self.totals = [torch.zeros(size, dtype=torch.int32) for _ in architecture.layers]

    def count(self, layer: int, gate: torch.Tensor) -> None:
        """Add one layer's gates."""
        found = (self.weights @ (gate > 0).flatten(0, -2).float()).int()
        self.totals[layer].index_add_(0, self.cells, found)

    def counts(self) -> np.ndarray:
        """The counts as [language, block, layer, neuron]."""
        shape = (len(LANGUAGES), N_BLOCKS, -1)
        return np.stack([t.numpy().reshape(shape) for t in self.totals], axis=2)


class LensCounts(PeerCounts):
    """TransformerLens: run_with_hooks on the gate before its activation, which has the same sign."""

    def __init__(self, loaded: LoadedModel, batch: Batch):
        super().__init__(loaded, batch)
        self.bridge = to_transformer_lens(loaded)
        layers = range(loaded.architecture.n_layers)
        self.hooks = [(transformer_lens_name(Site("mlp_gate", n)), self._hook(n)) for n in layers]

    def _hook(self, layer: int):
        return lambda value, hook: self.count(layer, value)

    @torch.no_grad()
    def run(self) -> None:
        """Count the batch once."""
        self.bridge.run_with_hooks(self.ids, fwd_hooks=self.hooks, return_type=None)


class NnsightCounts(PeerCounts):
    """nnsight: the activated gates, stopped before the unembedding."""

    def __init__(self, loaded: LoadedModel, batch: Batch):
        super().__init__(loaded, batch)
        self.wrapped = to_nnsight(loaded)

    @torch.no_grad()
    def run(self) -> None:
        """Count the batch once."""
        with self.wrapped.trace(input_ids=self.ids, use_cache=False) as tracer:
            for layer, block in enumerate(self.wrapped.model.layers):
                self.count(layer, block.mlp.act_fn.output)
            self.wrapped.model.norm.output  # noqa: B018  (wait for it, so that the last MLP is done)
            tracer.stop()


class OneByOne:
    """Head gradients as usually written: forward with labels, backward, next item.

    Args:
        parameter_gradients: Also compute the gradient of every weight, as ``loss.backward()`` does on a model
            that nobody froze; otherwise the weights are frozen and only the mask is differentiated.
    """

    def __init__(self, loaded: LoadedModel, batch: Batch, *, parameter_gradients: bool):
        self.loaded = loaded
        self.singles = [rectangle((item,)) for item in batch.items]
        self.parameter_gradients = parameter_gradients
        self.gradients = np.zeros(0)

    def run(self) -> None:
        """Differentiate every item."""
        self.loaded.model.requires_grad_(self.parameter_gradients)
        try:
            self.gradients = np.stack([self._one(single) for single in self.singles])
        finally:
            self.loaded.model.requires_grad_(False)

    def _one(self, single: Batch) -> np.ndarray:
        architecture, model = self.loaded.architecture, self.loaded.model
        scales = torch.ones(1, architecture.n_layers, architecture.n_heads, requires_grad=True)
        with scaled_heads(self.loaded, scales):
            loss = model(input_ids=single.ids, labels=single.ids, use_cache=False).loss
        if self.parameter_gradients:
            loss.backward()
            model.zero_grad(set_to_none=True)
            return scales.grad[0].numpy()
        return torch.autograd.grad(loss, scales)[0][0].numpy()
