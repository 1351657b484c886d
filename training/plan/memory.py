"""How much memory a run needs on one device, estimated from shapes."""

from __future__ import annotations

from dataclasses import dataclass

from interp.model.vocabulary import LOGITS_AT_A_TIME
from interp.model.widths import Widths

__all__ = ["Memory", "expected_memory"]


@dataclass(frozen=True)
class Memory:
    """Expected bytes on one device. An estimate from shapes, not a measurement.

    Attributes:
        weights: The model, and the adapter's own weights.
        optimizer: Gradients and AdamW's two moments, in float32.
        cache: Keys and values while all rows of a process are sampled.
        activations: What the backward pass of one micro-batch needs.
    """

    weights: int
    optimizer: int
    cache: int
    activations: int

    @property
    def total(self) -> int:
        """The sum; sampling and backward pass do not coincide, so the larger of the two counts."""
        return self.weights + self.optimizer + max(self.cache, self.activations)


def expected_memory(
    widths: Widths,
    parameters: int,
    trained: int,
    *,
    weight_bytes: int,
    rows: int,
    micro_batch: int,
    prompt_tokens: int,
    new_tokens: int,
    generations: int,
    checkpointing: bool,
) -> Memory:
    """Estimate what one device needs when each holds the whole model (DDP).

    A micro-batch computes each of its prompts once, and repeats their keys and values for every row; with
    activations recomputed it passes whole rows.

    Args:
        widths: Of the model.
        parameters: Of the model.
        trained: Those that are trained.
        weight_bytes: Bytes per parameter of the model.
        rows: Rows that one process samples at once.
        micro_batch: Rows per backward pass.
        prompt_tokens: Of the longest prompt.
        new_tokens: Of the longest completion.
        generations: Completions of a prompt.
        checkpointing: Whether activations are recomputed.

    Source: tensors that autograd keeps for Llama's block, counted: four of the MLP's width, ten of the
    residual stream's (norms), two of the queries' and four of the keys'; with activations recomputed two
    bytes per unit of width, as in Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198.
    """
    wide, tokens = max(weight_bytes, 2), prompt_tokens + new_tokens
    block = 4 * widths.neurons + 10 * widths.residual + 2 * widths.queries + 4 * widths.keys
    prompts = -(-micro_batch // generations)
    if checkpointing:
        stored = (widths.layers * widths.residual + block) * tokens * micro_batch
    else:
        computed = prompts * prompt_tokens + micro_batch * new_tokens
        repeated = 2 * widths.queries * tokens * micro_batch
        stored = widths.layers * (block * computed + repeated)
    logits = 3 * 4 * min(LOGITS_AT_A_TIME, micro_batch * new_tokens * widths.vocabulary)
    frozen = parameters if trained < parameters else 0
    return Memory(
        weights=frozen * weight_bytes + trained * 4,
        optimizer=trained * 12,
        cache=2 * wide * widths.layers * widths.keys * tokens * rows,
        activations=stored * wide + logits,
    )
