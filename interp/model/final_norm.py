"""From a residual stream to logits, at any layer: the model's own final norm, once, then its unembedding.

The norm is found by watching a forward pass, not by name: it is the module that the last layer's output
enters and that gives the decoder's last hidden states. So it stands in the right place in post-norm
architectures too, whose layers have norms of their own, and a decoder that has none is read without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import nn

from interp.errors import CapabilityError
from interp.model.hooks import reading
from interp.model.loading import LoadedModel
from interp.model.sites import Architecture, Site

__all__ = ["LayerReadout", "layer_readout"]

_LENGTH = 6


@dataclass(frozen=True)
class LayerReadout:
    """What the model does after its last layer.

    Attributes:
        architecture: Of the model.
        norm: The final norm; None where there is none.
        projection: What makes the stream as narrow as the unembedding takes it (OPT); None where it is.
    """

    architecture: Architecture
    norm: nn.Module | None
    projection: nn.Module | None = None

    @property
    def weight(self) -> Float[torch.Tensor, "vocab model"]:
        """The unembedding matrix, after the projection; under an adapter the one that it makes of the base's,
        read off its outputs."""
        unembedding: Any = self.architecture.unembedding
        if not isinstance(unembedding, nn.Linear):
            base = unembedding.weight
            each = torch.eye(base.shape[1], dtype=base.dtype, device=base.device)
            with torch.no_grad():
                matrix = (unembedding(each) - unembedding(torch.zeros_like(each[:1]))).mT.contiguous()
                return matrix if self.projection is None else self._projected(matrix)
        return unembedding.weight if self.projection is None else self._projected(unembedding.weight)

    def _projected(self, matrix: torch.Tensor) -> torch.Tensor:
        projection: Any = self.projection
        with torch.no_grad():
            return matrix @ projection.weight.to(matrix.device)

    @property
    def device(self) -> torch.device:
        """Where hidden states are turned into logits."""
        unembedding: Any = self.architecture.unembedding
        return unembedding.weight.device

    def logits(self, residual: Float[torch.Tensor, "*row model"]) -> Float[torch.Tensor, "*row vocab"]:
        """Logits in float32 of a residual stream that was not normed, as the model itself computes them."""
        for module in (self.norm, self.projection):
            residual = residual if module is None else module(residual)
        return self.architecture.unembed(residual).float()

    def gain(self) -> Float[torch.Tensor, " model"]:
        """The final norm's factor per dimension, in float32.

        A vector of +1 and -1 in turn has mean 0 and mean square 1, so the norm does nothing to it but
        multiply and shift.
        """
        weight = self.weight
        alternating = torch.ones(weight.shape[1], dtype=weight.dtype, device=weight.device)
        alternating[1::2] = -1
        if self.norm is None:
            return torch.ones_like(alternating).float()
        home = next(
            self.norm.parameters(), weight
        ).device  # of a spread model with tied embeddings, not the weight's
        alternating = alternating.to(home)
        with torch.no_grad():
            gain = (self.norm(alternating) - self.norm(-alternating)) / 2 * alternating
        return gain.float().to(weight.device)


@torch.no_grad()
def layer_readout(loaded: LoadedModel) -> LayerReadout:
    """Find the final norm, and prove that it is the one.

    Raises:
        CapabilityError: The last hidden states are not the last layer's output after at most one norm and one
            projection.
    """
    architecture = loaded.architecture
    body: Any = architecture.body
    ids = torch.arange(_LENGTH, device=loaded.device).unsqueeze(0) % loaded.n_embeddings
    last: list[torch.Tensor] = []
    passed: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def record(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if last and args and isinstance(output, torch.Tensor):
            passed.append((module, args[0], output))

    site = Site("resid_post", architecture.n_layers - 1)
    handles = [
        child.register_forward_hook(record) for child in body.children() if child is not architecture.layers
    ]
    try:
        with reading(architecture, {site: lambda value, site: last.append(value)}):
            hidden = body(input_ids=ids, use_cache=False).last_hidden_state
    finally:
        for handle in handles:
            handle.remove()
    chain: list[nn.Module] = []
    current = last[0]
    for module, before, after in passed:
        if torch.equal(before, current):
            chain, current = [*chain, module], after
    projection = chain[-1] if chain and isinstance(chain[-1], nn.Linear) else None
    chain = [module for module in chain if module is not projection]
    if torch.equal(hidden, current) and len(chain) < 2:
        return LayerReadout(architecture, chain[0] if chain else None, projection)
    if torch.equal(hidden, last[0]):
        return LayerReadout(architecture, None)
    names = ", ".join(name for name, _ in body.named_children())
    raise CapabilityError(
        f"'{architecture.family}': its last hidden states are not the last layer's output after one norm "
        f"(modules: {names}), so a lens would not read layers as the model reads its last one."
    )
