"""Prompts that are computed once: what several begin with, the rest of each, then whatever continues it.

A decoder's keys and values of a prompt do not depend on what follows it, so all continuations of a prompt can
share them, and all prompts that begin alike (instructions, demonstrations) those of their beginning.
Gradients flow through: those of a repeated key add up over its copies.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from jaxtyping import Int
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from interp.errors import CapabilityError
from interp.model.tokens import pad_rows, token_positions

__all__ = ["PromptCache", "Tokens", "common_beginnings", "encode_prompts", "is_plain", "shortest_window"]

Tokens = tuple[int, ...]

_WORTH = 0.75  # share of the padded tokens that may remain where beginnings are computed apart
_SHORTEST = 8  # tokens: a shorter beginning is not worth a pass


@dataclass
class PromptCache:
    """Prompts that have passed a decoder.

    Attributes:
        output: Of the pass over the prompts' ends, padded on the left: the last position is each one's last.
        mask: 1 on the tokens whose keys are cached, 0 on padding.
        cache: Keys and values, for one use.
    """

    output: Any
    mask: Int[torch.Tensor, "row token"]
    cache: Any

    def rows(self, owners: Sequence[int]) -> PromptCache:
        """Give each row the keys and values of its owner; uses up the cache.

        Args:
            owners: Per row, the number of its prompt.
        """
        index = torch.tensor(owners, device=self.mask.device)
        return PromptCache(self.output, self.mask[index], _selected(self.cache, index))

    def following(
        self, ids: Int[torch.Tensor, "row token"], mask: Int[torch.Tensor, "row token"]
    ) -> dict[str, Any]:
        """Arguments of a decoder for tokens that stand behind what is cached; the mask grows with them."""
        position = self.mask.sum(dim=1, keepdim=True) + token_positions(mask)
        self.mask = torch.cat([self.mask, mask], dim=1)
        return {
            "input_ids": ids,
            "attention_mask": self.mask,
            "position_ids": position,
            "past_key_values": self.cache,
            "use_cache": True,
        }


def encode_prompts(
    forward: Callable[..., Any],
    prompts: Sequence[Tokens],
    *,
    fill: int,
    device: torch.device,
    room: int | None = None,
    **more: Any,
) -> PromptCache:
    """Pass different prompts through a decoder; what several begin with passes once where that is worth it.

    Args:
        forward: A decoder of transformers, with or without its unembedding.
        prompts: All different, none empty.
        fill: What padding is.
        device: Where ids go.
        room: Cached positions, padding included, within which the places of tokens do not matter: that of the
            shortest sliding window less what follows. None: any number. Beyond it, nothing is shared between
            different prompts, since padding would stand within a row.
        more: Arguments of ``forward``.

    Raises:
        CapabilityError: The decoder has no cache whose rows can be repeated.
    """
    owners, beginnings = common_beginnings(prompts)
    if owners and room is not None:
        longest = max(len(p) - len(beginnings[o]) for p, o in zip(prompts, owners, strict=True))
        if max(map(len, beginnings)) + longest > room:
            owners = []
    call = _accepted(forward)
    ids, mask = pad_rows(beginnings if owners else prompts, fill=fill, side="left", device=device)
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": token_positions(mask)}
    output = call(**inputs, use_cache=True, **more)
    cached = PromptCache(output, mask, _repeatable(output))
    if not owners:
        return cached
    ends = [prompt[len(beginnings[owner]) :] for prompt, owner in zip(prompts, owners, strict=True)]
    cached = cached.rows(owners)
    output = call(**cached.following(*pad_rows(ends, fill=fill, side="left", device=device)), **more)
    return PromptCache(output, cached.mask, output.past_key_values)


def common_beginnings(prompts: Sequence[Tokens]) -> tuple[list[int], list[Tokens]]:
    """Find what prompts begin with: per prompt the number of its beginning, and the beginnings.

    Each beginning is a proper one, so that every prompt has a last token of its own. Both lists are empty
    where the padded tokens to compute would not fall to three quarters.
    """
    order = sorted(range(len(prompts)), key=prompts.__getitem__)
    groups: list[list[int]] = []
    lengths: list[int] = []
    for before, number in zip([None, *order], order, strict=False):
        alike = 0 if before is None else _alike(prompts[before], prompts[number])
        if groups and _joins(alike, lengths[-1], len(groups[-1])):
            groups[-1].append(number)
            lengths[-1] = min(lengths[-1], alike)
        else:
            groups.append([number])
            lengths.append(len(prompts[number]) - 1)
    lengths = [n if len(group) > 1 else min(1, n) for n, group in zip(lengths, groups, strict=True)]
    owners = [0] * len(prompts)
    for owner, group in enumerate(groups):
        for number in group:
            owners[number] = owner
    beginnings = [prompts[group[0]][:n] for group, n in zip(groups, lengths, strict=True)]
    ends = max((len(p) - lengths[o] for p, o in zip(prompts, owners, strict=True)), default=0)
    whole = len(prompts) * max(map(len, prompts), default=0)
    apart = len(groups) * max(lengths, default=0) + len(prompts) * ends
    return (owners, beginnings) if apart < _WORTH * whole and min(lengths) else ([], [])


def is_plain(cache: Any, width: int) -> bool:
    """Whether every layer of a cache has grown by concatenation to ``width`` positions, so gradients flow."""
    layers: list[Any] = getattr(cache, "layers", [])
    kinds = (DynamicLayer, DynamicSlidingWindowLayer)
    return bool(layers) and all(
        type(layer) in kinds and layer.is_initialized and layer.get_seq_length() == width for layer in layers
    )


def shortest_window(config: Any) -> int | None:
    """Positions that every layer of a decoder can look back on; None where nothing limits them."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    windows = []
    if kinds is None or "sliding_attention" in kinds:
        windows.append(getattr(text, "sliding_window", None))
    if kinds is None or "chunked_attention" in kinds:
        windows.append(getattr(text, "attention_chunk_size", None))
    return min((int(window) for window in windows if window), default=None)


def _repeatable(output: Any) -> Any:
    """The cache of a pass."""
    cache = getattr(output, "past_key_values", None)
    if not hasattr(cache, "batch_select_indices"):
        raise CapabilityError(
            f"This decoder's cache ({type(cache).__name__}) cannot be repeated, so its prompts cannot be "
            "shared between completions."
        )
    return cache


def _joins(alike: int, shared: int, members: int) -> bool:
    """Whether a prompt joins the group of the one before it: shared tokens must not become fewer."""
    return alike >= _SHORTEST and members * min(alike, shared) >= (members - 1) * shared


def _alike(one: Tokens, other: Tokens) -> int:
    """Tokens that two prompts begin with, without the last of either."""
    pairs = zip(one[:-1], other[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _selected(cache: Any, index: torch.Tensor) -> Any:
    """Rows of a cache, in place."""
    for layer in getattr(cache, "layers", []):
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            cache.batch_select_indices(index)  # of the cache as a whole
            return cache
    for layer in cache.layers:
        layer.keys = layer.keys.index_select(0, index.to(layer.keys.device))
        layer.values = layer.values.index_select(0, index.to(layer.values.device))
    return cache


def _accepted(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The decoder, without positions where it takes none (it then has them from the mask)."""
    base = forward.get_base_model() if hasattr(forward, "get_base_model") else forward  # under an adapter
    function = base.forward if isinstance(base, torch.nn.Module) else base
    parameters = inspect.signature(function).parameters
    if "position_ids" in parameters:
        return forward
    return lambda position_ids=None, **inputs: forward(**inputs)
