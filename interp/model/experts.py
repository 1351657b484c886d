"""Read and edit the neurons of routed experts, inside the one call that runs all experts of a layer.

transformers keeps the weights of a layer's experts in one tensor and runs the rows of all tokens and experts
at once, so there is no module per expert. What it offers is the gating of these rows: it is wrapped on the
one module, for as long as it is watched, and the rows are told apart by the experts that the router gave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int

from interp.model.sites import Architecture, Experts, Site

__all__ = ["Routed", "watched_experts"]


@dataclass(frozen=True)
class Routed:
    """Values of a layer's experts: a row for every token and expert that it is routed to.

    Padding is routed too: leave it out by ``token``.

    Attributes:
        values: Of the neurons of the row's expert.
        token: Which of all tokens, as prompt * tokens per prompt + token.
        expert: Which expert.
    """

    values: Float[torch.Tensor, "assignment neuron"]
    token: Int[torch.Tensor, " assignment"]
    expert: Int[torch.Tensor, " assignment"]


Watcher = Callable[[Routed, Site], torch.Tensor | None]


@contextmanager
def watched_experts(
    architecture: Architecture, layer: int, watchers: Mapping[str, Watcher]
) -> Iterator[None]:
    """Call ``watcher(routed, site)`` with a layer's experts; a tensor that it returns replaces the values.

    Args:
        architecture: Of the model.
        layer: Which layer.
        watchers: By the name of the site: `expert_gate`, `expert_neuron` or both.
    """
    experts, watch = architecture.experts(layer), _Watch(layer, watchers)
    open_watches = vars(experts.module).get(_WATCHES)
    with ExitStack() as stack:
        if open_watches is None:  # the first one watches for all that are opened within it
            open_watches = []
            setattr(experts.module, _WATCHES, open_watches)
            stack.callback(delattr, experts.module, _WATCHES)
            watched = _watched_tokens if experts.order == "all" else _watched_rows
            stack.enter_context(watched(experts, open_watches))
        open_watches.append(watch)
        stack.callback(open_watches.remove, watch)
        yield


_WATCHES = "_open_watches"
Route = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, eq=False)
class _Watch:
    """The watchers of one layer's experts, as they are opened together."""

    layer: int
    watchers: Mapping[str, Watcher]

    @property
    def needs_gates(self) -> bool:
        """Whether gates have to be made, which costs an activation."""
        return "expert_gate" in self.watchers

    def told(self, values: torch.Tensor, name: str, route: Route) -> torch.Tensor:
        """The values, or what a watcher puts in their place."""
        if name not in self.watchers:
            return values
        new = self.watchers[name](Routed(values, *route), Site(name, self.layer))
        return values if new is None else new


def _tell(watches: Sequence[_Watch], values: torch.Tensor, name: str, route: Route) -> torch.Tensor:
    """Every open watch in turn, each with what those around it made of the values."""
    for watch in watches:
        values = watch.told(values, name, route)
    return values


@contextmanager
def _watched_rows(experts: Experts, watches: Sequence[_Watch]) -> Iterator[None]:
    """Watch experts that get a row for every token and expert, by their gating."""
    gating = experts.module._apply_gate
    routes: list[Route] = []

    def enter(module: Any, args: tuple[Any, ...]) -> None:
        index = args[1]
        expert = index.reshape(-1)
        order = torch.arange(len(expert), device=expert.device)
        if experts.order == "sorted":
            expert, order = torch.sort(expert)  # the same call on the same tensor as when the rows are made
        routes[:] = [(order // index.shape[-1], expert)]

    def gate(projected: torch.Tensor) -> torch.Tensor:
        neurons = None
        if any(watch.needs_gates for watch in watches):
            gates, factor = experts.gates(projected)
            if (new := _tell(watches, gates, "expert_gate", routes[0])) is not gates:
                neurons = new * factor
        neurons = gating(projected) if neurons is None else neurons
        return _tell(watches, neurons, "expert_neuron", routes[0])

    handle = experts.module.register_forward_pre_hook(enter)
    try:
        with _replaced(experts.module, "_apply_gate", gate):
            yield
    finally:
        handle.remove()


@contextmanager
def _watched_tokens(experts: Experts, watches: Sequence[_Watch]) -> Iterator[None]:
    """Watch experts that get all tokens, by what they do with those that are not zero."""

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        tokens = hidden.view(experts.n_experts, -1, hidden.shape[-1])
        expert, token = tokens.any(dim=-1).nonzero(as_tuple=True)

        def neurons(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
            route = (token, expert)
            gates = gate[expert, token]
            if (new := _tell(watches, gates, "expert_gate", route)) is not gates:
                gate = gate.index_put((expert, token), new)
            made = up * gate
            values = made[expert, token]
            if (new := _tell(watches, values, "expert_neuron", route)) is not values:
                made = made.index_put((expert, token), new)
            return made

        return experts.run_all(tokens, neurons).view(-1, hidden.shape[-1])

    with _replaced(experts.module, "forward", forward):
        yield


@contextmanager
def _replaced(module: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Give one module another function while the context is open."""
    setattr(module, name, function)
    try:
        yield
    finally:
        delattr(module, name)
