"""Prove at load that the sites are what they are called: four identities, and edits that change the logits.

1. The heads add up: the projection of each head alone, summed, is the attention output.
2. act(gate) * up is the input of the down projection.
3. What enters a layer and what attention adds to it are what is read next (else there is no `resid_mid`).
4. Decoder, then unembedding, gives the model's logits.
5. Editing any site of any layer changes the logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from interp.errors import CapabilityError
from interp.model.hooks import editing, reading
from interp.model.sites import SITES, Architecture, Site

__all__ = ["check_sites"]

_LENGTH = 6


@torch.no_grad()
def check_sites(model: PreTrainedModel, architecture: Architecture) -> None:
    """Run the self-check on one small batch.

    Raises:
        CapabilityError: Names the first site, module and architecture that fails.
    """
    ids = _example(model)
    values, ups, writes, reference = _read_all(model, architecture, ids)
    _check_between(architecture, values, writes)
    for layer in range(architecture.n_layers):
        _check_heads(architecture, layer, values)
        if layer in ups:
            _check_neurons(architecture, layer, values, ups[layer])
    _check_unembedding(architecture, ids, reference)
    for name in SITES:
        if name not in architecture.missing:
            _check_edit(model, architecture, name, ids)


def _example(model: PreTrainedModel) -> torch.Tensor:
    table: Any = model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, min(table.shape[0], 1000), (1, _LENGTH), generator=generator).to(table.device)


def _read_all(
    model: PreTrainedModel, architecture: Architecture, ids: torch.Tensor
) -> tuple[dict[Site, torch.Tensor], dict[int, torch.Tensor], dict[int, torch.Tensor], torch.Tensor]:
    """Every site, the un-gated half of every MLP, what attention writes, and the logits of one pass."""
    values: dict[Site, torch.Tensor] = {}
    ups: dict[int, torch.Tensor] = {}
    writes: dict[int, torch.Tensor] = {}

    def keep(value: torch.Tensor, site: Site) -> None:
        values[site] = value

    names = [name for name in SITES if name not in architecture.missing]
    layers = range(architecture.n_layers)
    handles = [handle for layer in layers for handle in _keep_up(architecture, layer, ups)]
    if "resid_mid" not in architecture.missing:
        handles += [_keep_write(architecture, layer, writes) for layer in layers]
    sites = [Site(name, layer) for name in names for layer in layers]
    try:
        with reading(architecture, dict.fromkeys(sites, keep)):
            logits = model(input_ids=ids, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    return values, ups, writes, logits


def _keep_up(
    architecture: Architecture, layer: int, ups: dict[int, torch.Tensor]
) -> Iterator[RemovableHandle]:
    if (up := architecture.up_projection(layer)) is not None:
        module, parts = up

        def keep(module: Any, args: Any, output: torch.Tensor) -> None:
            ups[layer] = output.chunk(parts, -1)[-1]

        yield module.register_forward_hook(keep)


def _keep_write(architecture: Architecture, layer: int, writes: dict[int, torch.Tensor]) -> RemovableHandle:
    module, scale = architecture.attention_write(layer)

    def keep(module: Any, args: Any, output: Any) -> None:
        writes[layer] = scale * (output[0] if isinstance(output, tuple) else output)

    return module.register_forward_hook(keep)


def _check_between(
    architecture: Architecture, values: dict[Site, torch.Tensor], writes: dict[int, torch.Tensor]
) -> None:
    """Strike `resid_mid` off the sites where a layer does not add attention to what entered it."""
    try:
        for layer, write in writes.items():
            between = values[Site("resid_pre", layer)].to(write.device) + write
            failure = "what enters and what attention adds are not what the MLP's side reads"
            _same(between, values[Site("resid_mid", layer)], architecture, f"layer {layer}", failure)
    except CapabilityError as error:
        architecture.missing["resid_mid"] = str(error)


def _check_heads(architecture: Architecture, layer: int, values: dict[Site, torch.Tensor]) -> None:
    projection, _ = architecture.module(Site("attn_out", layer))
    heads = values[Site("head", layer)]
    alone = torch.eye(architecture.n_heads, dtype=heads.dtype, device=heads.device)
    each = projection((heads.unsqueeze(0) * alone[:, None, None, :, None]).flatten(-2))
    bias = projection(torch.zeros_like(heads[:1, :1].flatten(-2)))
    total = each.sum(0) - (architecture.n_heads - 1) * bias
    _same(
        total,
        values[Site("attn_out", layer)],
        architecture,
        f"layer {layer}",
        "heads do not add up to the attention output",
    )


def _check_neurons(
    architecture: Architecture, layer: int, values: dict[Site, torch.Tensor], up: torch.Tensor
) -> None:
    product = values[Site("mlp_gate", layer)] * up
    _same(
        product,
        values[Site("mlp_neuron", layer)],
        architecture,
        f"layer {layer}",
        "act(gate) * up is not what the MLP's output projection reads",
    )


def _check_unembedding(architecture: Architecture, ids: torch.Tensor, logits: torch.Tensor) -> None:
    hidden = architecture.body(input_ids=ids, use_cache=False).last_hidden_state
    _same(
        architecture.unembed(hidden),
        logits,
        architecture,
        "logits",
        "decoder + unembedding do not give the model's logits",
    )


def _check_edit(model: PreTrainedModel, architecture: Architecture, name: str, ids: torch.Tensor) -> None:
    """One forward pass: row 0 is left alone, row l + 1 is edited at layer l."""
    generator = torch.Generator().manual_seed(1)

    def disturb(value: torch.Tensor, site: Site) -> torch.Tensor:
        noise = torch.randn(value.shape[1:], generator=generator).to(value)
        edited = value.clone()
        edited[site.layer + 1] += noise * value.float().std().clamp(min=0.1).to(value)
        return edited

    sites = [Site(name, layer) for layer in range(architecture.n_layers)]
    with editing(architecture, dict.fromkeys(sites, disturb)):
        logits = model(input_ids=ids.expand(len(sites) + 1, -1), use_cache=False).logits.float()
    changed = (logits[1:] - logits[:1]).abs().amax(dim=(1, 2))
    least = 4 * torch.finfo(model.dtype).eps * logits[0].abs().max()
    for site, change in zip(sites, changed.tolist(), strict=True):
        if not change > least:
            module, side = architecture.module(site)
            raise CapabilityError(
                f"'{architecture.family}': editing {site} ({side} of {type(module).__name__}) does not "
                "change the logits, so this site is dead; the architecture is not supported."
            )


def _same(
    actual: torch.Tensor, expected: torch.Tensor, architecture: Architecture, where: str, failure: str
) -> None:
    actual, expected = actual.float(), expected.float().to(actual.device)
    scale = expected.abs().max().clamp(min=1e-6)
    if not torch.isfinite(expected).all():
        raise CapabilityError(
            f"'{architecture.family}': {where}: the values are not finite. Check the weights, or try --dtype "
            "float32."
        )
    error = float((actual - expected).abs().max() / scale)
    tolerance = 1e-4 if _dtype(architecture) == torch.float32 else 0.05
    if error > tolerance:
        raise CapabilityError(
            f"'{architecture.family}': {where}: {failure} (relative error {error:.1e}, at most "
            f"{tolerance:.0e})."
        )


def _dtype(architecture: Architecture) -> torch.dtype:
    """The dtype in which the decoder computes."""
    return next(architecture.body.parameters()).dtype
