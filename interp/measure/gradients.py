"""Values of sites and the gradients of a metric with respect to them: one forward and one backward pass.

The graph starts at the first site that is reached, so nothing is computed for what stands before it, and no
parameter gets a gradient. A row touches only its own scalar, so the summed metric gives every row its own
gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from interp.model.hooks import editing
from interp.model.loading import LoadedModel
from interp.model.sites import Site

__all__ = ["BACKWARD_TOKENS", "Metric", "reduced_gradients"]

BACKWARD_TOKENS = 512
"""Padded tokens per backward pass at most: unlike a forward pass, it holds what every layer computes."""

Metric = Callable[[torch.Tensor], torch.Tensor]
"""Final hidden states of the body, ``[prompt, token, model]`` and normed -> one scalar per row, ``[prompt]``.

``loaded.architecture.unembed(hidden[rows, positions])`` gives the logits at chosen positions; take them
``.float()``.
"""

Taken = TypeVar("Taken")


def reduced_gradients(
    loaded: LoadedModel,
    inputs: Mapping[str, Any],
    sites: Sequence[Site],
    metric: Metric,
    take: Callable[[torch.Tensor, torch.Tensor], Taken],
) -> dict[Site, Taken]:
    """Return ``take(value, gradient)`` of every site, with the gradient of each row's metric.

    It is called as soon as a site's gradient arrives: one gradient is alive at a time, and a site's value is
    released with it. Both have the site's axes, and are detached and in the model's dtype.

    Args:
        loaded: The model; its parameters are frozen.
        inputs: Arguments of the decoder, such as `Batch.inputs`, without a cache.
        sites: Where.
        metric: What is differentiated: hidden states to one scalar per row.
        take: What is kept of a site.

    Raises:
        CapabilityError: The architecture lacks a site.
        ValueError: The metric is not one scalar per row.
    """
    values: dict[Site, torch.Tensor] = {}
    taken: dict[Site, Taken] = {}
    roots: list[torch.Tensor] = []

    def watch(value: torch.Tensor, site: Site) -> torch.Tensor:
        if not value.requires_grad:  # nothing before it is differentiated
            value = value.detach().requires_grad_(True)
            roots.append(value)

        def arrive(gradient: torch.Tensor) -> None:
            taken[site] = take(values.pop(site), gradient.detach())

        values[site] = value.detach()
        value.register_hook(arrive)
        return value

    with torch.enable_grad():
        with editing(loaded.architecture, dict.fromkeys(sites, watch)):
            hidden = loaded.architecture.body(**inputs).last_hidden_state
        each = metric(hidden)
        if each.shape != hidden.shape[:1]:
            raise ValueError(
                f"the metric has shape {tuple(each.shape)}; {tuple(hidden.shape[:1])} is expected"
            )
        torch.autograd.grad(each.sum(), roots)
    return {site: taken[site] for site in sites}
