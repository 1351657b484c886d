"""How much memory a run needs on one device, estimated from shapes."""

from __future__ import annotations

from dataclasses import dataclass

from interp.model.sites import Widths

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
    tokens: int,
    checkpointing: bool,
) -> Memory:
    """Estimate what one device needs when each holds the whole model (DDP).

    Args:
        widths: Of the model.
        parameters: Of the model.
        trained: Those that are trained.
        weight_bytes: Bytes per parameter of the model.
        rows: Rows that one process samples at once.
        micro_batch: Rows per backward pass.
        tokens: Prompt and completion, in tokens.
        checkpointing: Whether activations are recomputed.

    Source: activations as in Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198, without tensor
    parallelism and without stored attention scores: 34 bytes per token, layer and unit of width in 16 bit, 2
    when recomputed.
    """
    wide = max(weight_bytes, 2)
    stored = 2 * widths.layers + 34 if checkpointing else 34 * widths.layers
    frozen = parameters if trained < parameters else 0
    return Memory(
        weights=frozen * weight_bytes + trained * 4,
        optimizer=trained * 12,
        cache=2 * wide * widths.layers * widths.keys * tokens * rows,
        activations=widths.residual * stored * tokens * micro_batch * wide // 2,
    )
