"""The residual stream at some tokens, as it enters the first layer and as it leaves each layer."""

from __future__ import annotations

import torch
from jaxtyping import Float

from interp.measure.passes import require_finite
from interp.model.hooks import reading
from interp.model.loading import LoadedModel
from interp.model.sites import Site
from interp.model.tokens import Batch, EncodedPrompts

__all__ = ["read_streams"]


@torch.no_grad()
def read_streams(
    loaded: LoadedModel, encoded: EncodedPrompts, batch: Batch, device: torch.device
) -> Float[torch.Tensor, "depth counted model"]:
    """Return the stream at the counted tokens of a batch, in the order of rows.

    Depth 0 is what enters the first layer, depth l leaves the l-th.

    Raises:
        MeasurementError: Activations are not finite.
    """
    sites = {Site("resid_pre", 0): 0}
    sites |= {Site("resid_post", layer): layer + 1 for layer in range(loaded.architecture.n_layers)}
    streams: dict[int, torch.Tensor] = {}

    def keep(value: torch.Tensor, site: Site) -> None:
        streams[sites[site]] = value[batch.counted.to(value.device)].to(device)

    with reading(loaded.architecture, dict.fromkeys(sites, keep)):
        hidden = loaded.architecture.body(**batch.inputs()).last_hidden_state
    require_finite(loaded, encoded, batch, hidden)
    return torch.stack([streams[depth] for depth in range(len(streams))])
