"""Slow oracles: definitions as nested loops, one prompt at a time, with nothing shared with the code under
test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from interp.data.prompts import PromptSet
from interp.model.hooks import reading
from interp.model.loading import LoadedModel
from interp.model.sites import Site


def mutual_information(joint: list[list[float]]) -> float:
    """Mutual information of a joint distribution [language][activity], in nats, straight from its
    definition."""
    total = 0.0
    for row in joint:
        for j, p in enumerate(row):
            if p > 0:
                column = sum(r[j] for r in joint)
                total += p * math.log(p / (sum(row) * column))
    return total


def count_active(loaded: LoadedModel, prompts: PromptSet, n_blocks: int) -> np.ndarray:
    """Active tokens [language, block, layer, neuron], one prompt and one neuron's weights at a time."""
    model, layers = loaded.model, loaded.architecture.layers
    blocks = prompts.group_blocks(n_blocks)
    shape = (len(prompts.languages), n_blocks, len(layers), loaded.architecture.n_neurons)
    counts = np.zeros(shape, dtype=np.int64)
    for i, code in enumerate(prompts.languages):
        for prompt in prompts.prompts[code]:
            inputs: dict[int, torch.Tensor] = {}
            handles = [
                layer.mlp.register_forward_pre_hook(
                    lambda m, args, n=n, kept=inputs: kept.update({n: args[0]})
                )
                for n, layer in enumerate(layers)
            ]
            with torch.no_grad():
                model(input_ids=torch.tensor([loaded.tokenizer(prompt.full_text)["input_ids"]]))
            for handle in handles:
                handle.remove()
            for n, layer in enumerate(layers):
                gate = _gate(layer.mlp, inputs[n])
                for token in gate[0]:
                    counts[i, blocks[prompt.group], n] += (token > 0).numpy()
    return counts


def count_active_anywhere(
    loaded: LoadedModel, prompts: PromptSet, n_blocks: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `count_active`, for any architecture, and the tokens of every expert; one prompt at a time.

    Gates are read at their sites, which tests of the model hold against formulas.
    """
    blocks, found = prompts.group_blocks(n_blocks), loaded.architecture
    shape = (len(prompts.languages), n_blocks, found.n_layers)
    counts = np.zeros((*shape, found.n_neurons), dtype=np.int64)
    routed = np.zeros((*shape, max(p.n_experts for parts in found.neurons for p in parts)), dtype=np.int64)
    parts = {part.gate: part for parts in found.neurons for part in parts}
    for i, code in enumerate(prompts.languages):
        for prompt in prompts.prompts[code]:
            at = (i, blocks[prompt.group])

            def count(value: Any, site: Site, at: tuple[int, int] = at) -> None:
                part = parts[site]
                if not part.n_experts:
                    for token in value[0]:
                        counts[(*at, site.layer)][part.first : part.first + part.width] += (token > 0).numpy()
                    return
                for row, expert in zip(value.values, value.expert.tolist(), strict=True):
                    first = part.first + expert * part.width
                    counts[(*at, site.layer)][first : first + part.width] += (row > 0).numpy()
                    routed[(*at, site.layer, expert)] += 1

            ids = torch.tensor([loaded.tokenizer(prompt.full_text)["input_ids"]])
            with torch.no_grad(), reading(found, dict.fromkeys(parts, count)):
                loaded.model(input_ids=ids)
    return counts, routed


def _gate(mlp: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """The gate before its activation, which has the same sign."""
    if hasattr(mlp, "gate_proj"):
        return mlp.gate_proj(hidden)
    return mlp.gate_up_proj(hidden).chunk(2, dim=-1)[0]


def head_gradient(loaded: LoadedModel, text: str, layer: int, head: int, step: float = 1e-2) -> float:
    """Derivative of one text's mean loss with respect to one head's scale, by central differences."""
    ids = torch.tensor([loaded.tokenizer(text)["input_ids"]])
    model = loaded.model
    width = loaded.architecture.d_head

    def loss(scale: float) -> float:
        def apply(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            value = args[0].clone()
            value[..., head * width : (head + 1) * width] *= scale
            return (value, *args[1:])

        handle = loaded.architecture.layers[layer].self_attn.o_proj.register_forward_pre_hook(apply)
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].double()
        handle.remove()
        return float(torch.nn.functional.cross_entropy(logits, ids[0, 1:]))

    return (loss(1 + step) - loss(1 - step)) / (2 * step)


def lape_entropy(rates: list[float]) -> float:
    """Entropy of one neuron's rates normalized over languages, in nats."""
    total = sum(rates)
    return -sum(r / total * math.log(r / total) for r in rates if r > 0)
