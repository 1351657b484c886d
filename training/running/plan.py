"""How many rows go where: facts per step, rows per process, accumulation; and what it will need of memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from interp.errors import ConfigError

__all__ = [
    "COMFORTABLE_ROWS",
    "BatchPlan",
    "Memory",
    "expected_memory",
    "plan_batches",
    "require_whole_facts",
]

COMFORTABLE_ROWS = 96
"""Rows per forward and backward pass, where nobody says otherwise."""


@dataclass(frozen=True)
class BatchPlan:
    """The batches of a run whose unit is the fact.

    Attributes:
        facts: Facts in an epoch.
        facts_per_step: Facts in an optimizer step, over all processes.
        rows_per_fact: Languages times completions.
        processes: Number of processes.
        micro_batch: Rows per forward and backward pass of one process.
        accumulation: Micro-batches per optimizer step.
    """

    facts: int
    facts_per_step: int
    rows_per_fact: int
    processes: int
    micro_batch: int
    accumulation: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return self.facts // self.facts_per_step

    @property
    def dropped_facts(self) -> int:
        """Facts at the end of an epoch that fill no step; others in every epoch."""
        return self.facts % self.facts_per_step

    @property
    def rows_per_step(self) -> int:
        """Rows in an optimizer step, over all processes."""
        return self.facts_per_step * self.rows_per_fact


def plan_batches(
    facts: int,
    facts_per_step: int,
    rows_per_fact: int,
    processes: int = 1,
    micro_batch: int = 0,
    *,
    largest: int = COMFORTABLE_ROWS,
    unit: str = "facts",
) -> BatchPlan:
    """Deal the rows of a step to processes and micro-batches.

    A fact's rows may go to different processes: rewards are pooled after all are gathered.

    Args:
        facts: Facts in an epoch.
        facts_per_step: Facts in an optimizer step.
        rows_per_fact: Languages times completions.
        processes: Number of processes.
        micro_batch: Rows per pass; 0 for the most that divide them evenly, up to ``largest``.
        largest: See above.
        unit: What a step counts, for the messages: facts, pairs or instances.

    Raises:
        ConfigError: The rows cannot be dealt evenly, or there are fewer facts than in a step; the message has the
            nearest settings that work.
    """
    if facts_per_step < 1:
        raise ConfigError(f"{unit}_per_step is {facts_per_step}; 1 or more is expected.")
    if facts < facts_per_step:
        raise ConfigError(
            f"There are {facts} {unit}, fewer than the {facts_per_step} of one step; an epoch would have no step. "
            f"Set {unit}_per_step to {facts} or less, or add {unit}."
        )
    rows = facts_per_step * rows_per_fact
    if rows % processes:
        step = processes // math.gcd(processes, rows_per_fact)
        raise ConfigError(
            f"A step of {facts_per_step} {unit} x {rows_per_fact} rows = {rows} rows cannot be dealt to {processes} "
            f"processes. Set {unit}_per_step to {_neighbors(facts_per_step, step)}."
        )
    own = rows // processes
    divisors = [n for n in range(1, own + 1) if own % n == 0]
    if not micro_batch:
        micro_batch = max(n for n in divisors if n <= largest)
    if own % micro_batch:
        near = sorted(sorted(divisors, key=lambda n: abs(n - micro_batch))[:2])
        raise ConfigError(
            f"micro_batch is {micro_batch}, which does not divide the {own} rows of a process ({facts_per_step} {unit} x "
            f"{rows_per_fact} rows / {processes} processes). Set it to {' or '.join(map(str, near))}."
        )
    return BatchPlan(facts, facts_per_step, rows_per_fact, processes, micro_batch, own // micro_batch)


def require_whole_facts(
    per_device: int, processes: int, steps_per_generation: int, languages: int, generations: int
) -> None:
    """Refuse a generation batch that does not hold whole facts.

    Raises:
        ConfigError: The message has the nearest settings that work.
    """
    batch, block = per_device * processes * steps_per_generation, languages * generations
    if batch % block == 0:
        return
    unit = block // math.gcd(block, processes * per_device)
    other = block // math.gcd(block, processes * steps_per_generation)
    raise ConfigError(
        f"The global generation batch ({batch} = per_device {per_device} x processes {processes} x "
        f"steps_per_generation {steps_per_generation}) must be a multiple of n_languages x num_generations = "
        f"{languages} x {generations} = {block}. Nearest: steps_per_generation {_neighbors(steps_per_generation, unit)}, "
        f"or per_device {_neighbors(per_device, other)}."
    )


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
        """The sum; rollouts and backward pass do not coincide, so the larger of the two counts."""
        return self.weights + self.optimizer + max(self.cache, self.activations)


def expected_memory(
    config: Any,
    parameters: int,
    trained: int,
    *,
    weight_bytes: int,
    rows: int,
    micro_batch: int,
    tokens: int,
    checkpointing: bool,
) -> Memory:
    """Estimate what one device needs, everything replicated (DDP).

    Args:
        config: The model's configuration.
        parameters: Of the model.
        trained: Those that are trained.
        weight_bytes: Bytes per parameter of the model.
        rows: Rows that one process samples at once.
        micro_batch: Rows per backward pass.
        tokens: Prompt and completion, in tokens.
        checkpointing: Whether activations are recomputed.

    Source: activations as in Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198, without tensor parallelism
    and without stored attention scores: 34 bytes per token, layer and unit of width in 16 bit, 2 when recomputed.
    """
    text = config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    wide = max(weight_bytes, 2)
    cache = 2 * wide * text.num_hidden_layers * text.num_key_value_heads * head * tokens * rows
    per_token = text.hidden_size * (
        2 * text.num_hidden_layers + 34 if checkpointing else 34 * text.num_hidden_layers
    )
    frozen = parameters if trained < parameters else 0
    return Memory(
        weights=frozen * weight_bytes + trained * 4,
        optimizer=trained * 12,
        cache=cache,
        activations=per_token * tokens * micro_batch * wide // 2,
    )


def _neighbors(value: int, step: int) -> str:
    """The multiples of a step on both sides of a value."""
    below, above = value // step * step, -(-value // step) * step
    return " or ".join(str(n) for n in dict.fromkeys((below, above)) if n > 0)
