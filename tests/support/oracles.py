"""Slow oracles: definitions as nested loops, one prompt at a time, with nothing shared with the code under
test."""

from __future__ import annotations

import math

import numpy as np
import torch

from interp.data.prompts import PromptSet
from interp.model.loading import LoadedModel


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
