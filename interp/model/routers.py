"""Read the routers of a mixture of experts: what each token's experts are chosen by, and which are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int

from interp.errors import CapabilityError
from interp.model.sites import Architecture

__all__ = ["Routers", "Routes"]

_PROBES = 64  # random hidden states that tell softmax from sigmoid
_NEAR = 0.02  # of the experts' weights; bfloat16 rounds to 0.004

Scores = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Routes:
    """What a layer's router makes of all tokens: a row for each, as prompt * tokens per prompt + token.

    Padding is routed too: leave it out.

    Attributes:
        probability: The router's distribution over all experts, in float32: softmax of its logits, or, where
            the model weighs experts by the sigmoid of theirs (DeepSeek V3, GLM 4.5, Llama 4), these
            normalized to sum 1. What only chooses, as correction biases and groups do, is no part of it.
        chosen: The experts that the token goes to, as the model itself chose them.
    """

    probability: Float[torch.Tensor, "token expert"]
    chosen: Int[torch.Tensor, "token choice"]


class Routers:
    """The routers of a model.

    Attributes:
        layers: Numbers of the layers that route tokens to experts.
        n_experts: Routed experts of each of them.

    Raises:
        CapabilityError: No layer has a router, layers differ in how many experts they have, or a router
            weighs experts neither by softmax nor by sigmoid.
    """

    def __init__(self, architecture: Architecture):
        self._family = architecture.family
        found = {
            layer: router
            for layer in range(architecture.n_layers)
            if (router := architecture.router(layer)) is not None
        }
        if not found:
            raise CapabilityError(
                f"'{self._family}' has no router: none of its {architecture.n_layers} layers routes tokens "
                "to experts. Choose a mixture of experts."
            )
        counts = sorted({architecture.experts(layer).n_experts for layer in found})
        if len(counts) > 1:
            raise CapabilityError(
                f"The layers of '{self._family}' have {' and '.join(map(str, counts))} experts; as many in "
                "every layer are expected."
            )
        self.layers, self.n_experts = tuple(found), counts[0]
        self._routers = {layer: (router, self._scores(router, layer)) for layer, router in found.items()}

    @contextmanager
    def reading(self, reader: Callable[[Routes, int], None]) -> Iterator[None]:
        """Call ``reader(routes, layer)`` whenever a layer routes, while the context is open.

        Raises:
            CapabilityError: No forward pass reached a router.
        """
        silent = set(self.layers)

        def hook(layer: int, scores: Scores) -> Callable[..., None]:
            def read(module: Any, args: Any, output: Any) -> None:
                silent.discard(layer)
                logits, _, chosen = _parted(module, output)
                reader(Routes(_normalized(scores(logits.float())), chosen), layer)

            return read

        with ExitStack() as stack:
            for layer, (router, scores) in self._routers.items():
                stack.callback(router.register_forward_hook(hook(layer, scores)).remove)
            yield
        if silent:
            raise CapabilityError(
                f"The router of layer {min(silent)} of '{self._family}' was never called, so a fused kernel "
                "may stand in its place; run the model without kernels."
            )

    @torch.no_grad()
    def _scores(self, router: Any, layer: int) -> Scores:
        """What the weights of chosen experts are proportional to, found by giving the router random input."""
        generator = torch.Generator().manual_seed(0)
        hidden = torch.randn(_PROBES, router.weight.shape[-1], generator=generator).to(router.weight)
        spread = _parted(router, router(hidden))[0].float().std()
        logits, weights, chosen = _parted(router, router(hidden / spread if spread > 0 else hidden))
        over = 0 if chosen.shape[-1] == 1 else 1  # the weight of one expert tells only beside other tokens'
        given = _normalized(weights.float(), over)
        if over == 0 and float(given.max() - given.min()) < _NEAR / _PROBES:
            return _softmax  # every weight is 1, whatever it was
        off = {
            scores: float((_normalized(scores(logits.float()).gather(1, chosen), over) - given).abs().max())
            for scores in (_softmax, torch.sigmoid)
        }
        scores = min(off, key=lambda each: off[each])
        if not off[scores] < _NEAR:
            raise CapabilityError(
                f"The router of layer {layer} of '{self._family}' ({type(router).__name__}) weighs experts "
                "neither by softmax nor by sigmoid of its logits, so its distribution is not known."
            )
        return scores


def _parted(router: Any, output: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of all experts, and weights and numbers of those chosen."""
    if len(output) == 3:
        logits, weights, chosen = output
        return logits, weights, chosen
    weights, logits = output  # Llama 4: the weights of all experts, 0 of those not chosen
    chosen = logits.topk(router.top_k, dim=-1).indices
    return logits, weights.gather(1, chosen), chosen


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(dim=-1)


def _normalized(scores: torch.Tensor, over: int = -1) -> torch.Tensor:
    return scores / scores.sum(dim=over, keepdim=True)
