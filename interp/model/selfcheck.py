"""Prove at load that the sites are what they are called: identities, and edits that change the logits.

1. The heads add up: the projection of each head alone, summed, is the attention output.
2. act(gate) * up, or act(up) where there is no gate, is the input of the down projection.
3. What the experts of every token write, weighted by the router, is what all experts together write.
4. What enters a layer and what attention adds to it are what is read next.
5. Decoder, then unembedding, gives the model's logits.
6. Editing any site of any layer changes the logits.

A site that fails is struck off with the reason. A model whose logits are not its decoder's is refused, and so
is one whose values are not finite.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from interp.errors import CapabilityError
from interp.model.experts import Routed
from interp.model.hooks import editing, reading
from interp.model.sites import EXPERT_SITES, SITES, Architecture, Neurons, Site

__all__ = ["check_sites"]

_LENGTH = 6


class _Failed(Exception):
    """An identity does not hold."""


class _NotFinite(Exception):
    """A value is not a finite number."""


@torch.no_grad()
def check_sites(model: PreTrainedModel, architecture: Architecture) -> None:
    """Run the self-check on one small batch, and strike off the sites that fail.

    Raises:
        CapabilityError: The logits are not the unembedded states, values are not finite, or the decoder
            cannot be run as measures run it.
    """
    try:
        _check(model, architecture, _example(model))
    except (CapabilityError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a decoder of a new kind fails in as many ways as there are kinds
        reason = next(iter(str(error).splitlines()), "")[:200]
        raise CapabilityError(
            f"'{architecture.family}' cannot be run as measures run a decoder: "
            f"{type(error).__name__}: {reason}"
        ) from error


def _check(model: PreTrainedModel, architecture: Architecture, ids: torch.Tensor) -> None:
    seen = _read_all(model, architecture, ids)
    _remake_neurons(model, architecture, ids, seen)
    _check_axes(architecture, seen)
    checks: list[tuple[str, tuple[str, ...], Callable[[int], None]]] = [
        ("head", ("head",), lambda layer: _check_heads(architecture, seen, layer)),
        ("mlp_neuron", ("mlp_gate",), lambda layer: _check_neurons(architecture, seen, layer, "mlp")),
        (
            "shared_neuron",
            ("shared_gate",),
            lambda layer: _check_neurons(architecture, seen, layer, "shared"),
        ),
        ("expert_gate", ("expert_gate",), lambda layer: _check_gates(architecture, seen, layer)),
        (
            "expert_neuron",
            ("expert_gate", "expert_neuron"),
            lambda layer: _check_experts(architecture, seen, layer),
        ),
        ("resid_mid", ("resid_mid",), lambda layer: _check_between(architecture, seen, layer)),
    ]
    for name, struck, check in checks:
        for layer in architecture.present[name]:
            try:
                check(layer)
            except _NotFinite:
                raise _not_finite(architecture, f"layer {layer}") from None
            except _Failed as failure:
                for site in struck:
                    architecture.strike(site, f"layer {layer}: {failure}")
                break
    _check_unembedding(architecture, ids, seen.logits)
    for name in (*SITES, *EXPERT_SITES):
        if architecture.present[name]:
            _check_edit(model, architecture, name, ids)


@dataclass
class _Seen:
    """What one pass had at every site, and beside them."""

    values: dict[Site, torch.Tensor] = field(default_factory=dict)
    routes: dict[Site, Routed] = field(default_factory=dict)
    remade: dict[Site, Routed] = field(default_factory=dict)
    ups: dict[tuple[int, str], torch.Tensor] = field(default_factory=dict)
    writes: dict[int, torch.Tensor] = field(default_factory=dict)
    experts: dict[int, tuple[tuple[torch.Tensor, ...], torch.Tensor]] = field(default_factory=dict)
    logits: torch.Tensor = field(default_factory=lambda: torch.zeros(0))


def _example(model: PreTrainedModel) -> torch.Tensor:
    table: Any = model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, min(table.shape[0], 1000), (1, _LENGTH), generator=generator).to(table.device)


def _read_all(model: PreTrainedModel, architecture: Architecture, ids: torch.Tensor) -> _Seen:
    """Every site that fires, the un-gated half of every MLP, what is written, and the logits."""
    seen = _Seen()

    def keep(value: Any, site: Site) -> None:
        if isinstance(value, Routed):
            seen.routes[site] = value
        else:
            seen.values[site] = value

    while True:  # once, and again without each site that never fires
        sites = [
            Site(name, layer) for name in (*SITES, *EXPERT_SITES) for layer in architecture.present[name]
        ]
        try:
            with ExitStack() as stack:
                for parts in architecture.neurons:
                    for part in parts:
                        _keep_beside(architecture, part, seen, stack)
                for layer in architecture.present["resid_mid"]:
                    _keep_write(architecture, layer, seen, stack)
                stack.enter_context(reading(architecture, dict.fromkeys(sites, keep)))
                seen.logits = model(input_ids=ids, use_cache=False).logits
            return seen
        except CapabilityError as error:
            silent = [site for site in sites if site not in seen.values and site not in seen.routes]
            if not silent or not seen.values:
                raise
            architecture.strike(silent[0].name, str(error))


def _remake_neurons(
    model: PreTrainedModel, architecture: Architecture, ids: torch.Tensor, seen: _Seen
) -> None:
    """Make the neurons of experts of their gates, as an edit of the gates does."""

    def keep(routed: Routed, site: Site) -> torch.Tensor:
        if site.name == "expert_neuron":
            seen.remade[site] = routed
        return routed.values.clone()

    both = set(architecture.present["expert_gate"]) & set(architecture.present["expert_neuron"])
    sites = [Site(name, layer) for name in ("expert_gate", "expert_neuron") for layer in sorted(both)]
    if sites:
        with editing(architecture, dict.fromkeys(sites, keep)):
            model(input_ids=ids, use_cache=False)


def _keep_beside(architecture: Architecture, part: Neurons, seen: _Seen, stack: ExitStack) -> None:
    """Keep what a part's gates multiply; of routed experts, what all of them were given and wrote."""
    if part.kind == "expert":
        module = architecture.experts(part.layer).module

        def keep_experts(module: Any, args: Any, output: torch.Tensor) -> None:
            seen.experts[part.layer] = (args, output)

        stack.callback(module.register_forward_hook(keep_experts).remove)
    elif (up := architecture.up_projection(part)) is not None:
        module, parts = up

        def keep_up(module: Any, args: Any, output: torch.Tensor) -> None:
            seen.ups[part.layer, part.kind] = output.chunk(parts, -1)[-1]

        stack.callback(module.register_forward_hook(keep_up).remove)


def _keep_write(architecture: Architecture, layer: int, seen: _Seen, stack: ExitStack) -> None:
    module, scale = architecture.attention_write(layer)
    if module is None:
        return

    def keep(module: Any, args: Any, output: Any) -> None:
        seen.writes[layer] = scale * (output[0] if isinstance(output, tuple) else output)

    stack.callback(module.register_forward_hook(keep).remove)


def _check_axes(architecture: Architecture, seen: _Seen) -> None:
    stream = seen.values[Site("resid_pre", 0)]
    if stream.ndim != 3:
        raise CapabilityError(
            f"'{architecture.family}': its residual stream has axes {tuple(stream.shape)}; prompt, token and "
            "model are expected, so the architecture is not supported."
        )


def _check_between(architecture: Architecture, seen: _Seen, layer: int) -> None:
    if layer not in seen.writes:
        raise _Failed("nothing is known to write to the stream before it")
    write = seen.writes[layer]
    before, after = seen.values[Site("resid_pre", layer)], seen.values[Site("resid_mid", layer)]
    if torch.equal(before, after):
        raise _Failed("its attention and MLP run side by side, so there is no stream between them")
    failure = "what enters and what attention adds are not what the MLP's side reads"
    _same(before.to(write.device) + write, after, architecture, failure)


def _check_heads(architecture: Architecture, seen: _Seen, layer: int) -> None:
    projection, _ = architecture.module(Site("attn_out", layer))
    heads = seen.values[Site("head", layer)]
    alone = torch.eye(architecture.n_heads, dtype=heads.dtype, device=heads.device)
    each = projection((heads.unsqueeze(0) * alone[:, None, None, :, None]).flatten(-2))
    bias = projection(torch.zeros_like(heads[:1, :1].flatten(-2)))
    total = each.sum(0) - (architecture.n_heads - 1) * bias
    expected = seen.values[Site("attn_out", layer)]
    _same(total, expected, architecture, "heads do not add up to the attention output")


def _check_neurons(architecture: Architecture, seen: _Seen, layer: int, kind: str) -> None:
    gate = seen.values.get(Site(f"{kind}_gate", layer))
    if gate is None:
        return
    up = seen.ups.get((layer, kind))
    failure = "act(gate) * up is not what the MLP's output projection reads"
    if up is None:
        failure = "act(up) is not what the MLP's output projection reads"
    product = gate if up is None else gate * up.reshape(gate.shape)
    _same(product, seen.values[Site(f"{kind}_neuron", layer)], architecture, failure)


def _check_gates(architecture: Architecture, seen: _Seen, layer: int) -> None:
    failure = "gates times what they multiply are not the experts' neurons"
    site = Site("expert_neuron", layer)
    _same(seen.remade[site].values, seen.routes[site].values, architecture, failure)


def _check_experts(architecture: Architecture, seen: _Seen, layer: int) -> None:
    (_, *routing), written = seen.experts[layer]
    routed = seen.routes[Site("expert_neuron", layer)]
    experts = architecture.experts(layer)
    n_tokens = len(routing[0]) if routing else len(written) // experts.n_experts
    total = torch.zeros(n_tokens, written.shape[-1], dtype=torch.float32, device=written.device)
    for expert in routed.expert.unique().tolist():
        rows = routed.expert == expert
        token, wrote = routed.token[rows], experts.write(expert, routed.values[rows])
        if routing:  # else what the router weighs is the experts' input
            slot = (routing[0][token] == expert).float().argmax(dim=1, keepdim=True)
            wrote = wrote * routing[1][token].gather(1, slot)
        total.index_add_(0, token, wrote.float())
    failure = "what the experts of each token write is not what all of them write together"
    _same(total, written.float().view(-1, *total.shape).sum(dim=0), architecture, failure)


def _check_unembedding(architecture: Architecture, ids: torch.Tensor, logits: torch.Tensor) -> None:
    body: Any = architecture.body
    inputs = {
        "attention_mask": torch.ones_like(ids),
        "position_ids": torch.arange(ids.shape[1]).to(ids)[None],
    }
    hidden = body(input_ids=ids, **inputs, use_cache=False).last_hidden_state
    failure = "decoder + unembedding do not give the model's logits"
    try:
        _same(architecture.unembed(hidden), logits, architecture, failure)
    except _NotFinite:
        raise _not_finite(architecture, "logits") from None
    except _Failed as failed:
        raise CapabilityError(f"'{architecture.family}': logits: {failed}.") from None


def _check_edit(model: PreTrainedModel, architecture: Architecture, name: str, ids: torch.Tensor) -> None:
    """One forward pass: row 0 is left alone, row i + 1 is edited at the i-th layer that has the site."""
    generator = torch.Generator().manual_seed(1)
    sites = [Site(name, layer) for layer in architecture.present[name]]
    row_of = {site: row for row, site in enumerate(sites, start=1)}

    def noise(value: torch.Tensor) -> torch.Tensor:
        drawn = torch.randn(value.shape, generator=generator).to(value)
        return drawn * value.float().std().clamp(min=0.1).to(value)

    def disturb(value: Any, site: Site) -> torch.Tensor:
        if isinstance(value, Routed):
            edited, rows = value.values.clone(), value.token // _LENGTH == row_of[site]
        else:
            edited, rows = value.clone(), torch.arange(len(value), device=value.device) == row_of[site]
        edited[rows] += noise(edited[rows])
        return edited

    with editing(architecture, dict.fromkeys(sites, disturb)):
        logits = model(input_ids=ids.expand(len(sites) + 1, -1), use_cache=False).logits.float()
    changed = (logits[1:] - logits[:1]).abs().amax(dim=(1, 2))
    least = 4 * torch.finfo(model.dtype).eps * logits[0].abs().max()
    for site, change in zip(sites, changed.tolist(), strict=True):
        if not change > least:
            module, side = architecture.module(site)
            architecture.strike(
                name,
                f"editing {site} ({side} of {type(module).__name__}) does not change the "
                "logits, so it is dead",
            )
            return


def _not_finite(architecture: Architecture, where: str) -> CapabilityError:
    return CapabilityError(
        f"'{architecture.family}': {where}: the values are not finite. Check the weights, or try --dtype "
        "float32."
    )


def _same(actual: torch.Tensor, expected: torch.Tensor, architecture: Architecture, failure: str) -> None:
    actual, expected = actual.float(), expected.float().to(actual.device)
    scale = expected.abs().max().clamp(min=1e-6)
    if not torch.isfinite(expected).all():
        raise _NotFinite
    error = float((actual - expected).abs().max() / scale)
    tolerance = 1e-4 if _dtype(architecture) == torch.float32 else 0.05
    if error > tolerance:
        raise _Failed(f"{failure} (relative error {error:.1e}, at most {tolerance:.0e})")


def _dtype(architecture: Architecture) -> torch.dtype:
    """The dtype in which the decoder computes."""
    return next(architecture.body.parameters()).dtype
