"""How the rows of an optimizer step are divided among processes and micro-batches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from interp.errors import ConfigError

__all__ = ["MICRO_BATCH_ROWS", "BatchPlan", "plan_batches", "require_whole_facts"]

MICRO_BATCH_ROWS = 96
"""Rows per forward and backward pass, unless a configuration says otherwise."""


@dataclass(frozen=True)
class BatchPlan:
    """The batches of a run.

    Attributes:
        units: Facts, pairs, instances or rows in an epoch: what a step counts.
        units_per_step: Those of an optimizer step, over all processes.
        rows_per_unit: Of a fact with rollouts, languages times completions.
        processes: Number of processes.
        micro_batch: Rows per forward and backward pass of one process.
        accumulation: Micro-batches per optimizer step.
        last_step_smaller: Whether the rest of an epoch is a step of its own; otherwise it is dropped.
    """

    units: int
    units_per_step: int
    rows_per_unit: int
    processes: int
    micro_batch: int
    accumulation: int
    last_step_smaller: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        whole, rest = divmod(self.units, self.units_per_step)
        return whole + (self.last_step_smaller and rest > 0)

    @property
    def dropped(self) -> int:
        """Units at the end of an epoch that fill no step; others in every epoch."""
        return 0 if self.last_step_smaller else self.units % self.units_per_step

    @property
    def rows_per_step(self) -> int:
        """Rows in an optimizer step, over all processes."""
        return self.units_per_step * self.rows_per_unit

    @property
    def rows_per_process(self) -> int:
        """Rows in an optimizer step of one process."""
        return self.rows_per_step // self.processes


def plan_batches(
    units: int,
    units_per_step: int,
    rows_per_unit: int = 1,
    processes: int = 1,
    micro_batch: int = 0,
    *,
    largest: int = MICRO_BATCH_ROWS,
    unit: str = "facts",
    last_step_smaller: bool = False,
) -> BatchPlan:
    """Divide the rows of a step evenly among processes and micro-batches.

    A fact's rows may go to different processes: rewards are pooled after all are gathered.

    Args:
        units: Units in an epoch.
        units_per_step: Units in an optimizer step.
        rows_per_unit: Rows of a unit.
        processes: Number of processes.
        micro_batch: Rows per pass; 0 for the largest divisor of a process's rows up to ``largest``.
        largest: See above; a single row always fits.
        unit: Name of the units in the messages: facts, pairs, instances or rows.
        last_step_smaller: See `BatchPlan`.

    Raises:
        ConfigError: The rows cannot be divided evenly, or an epoch has no step; the message has the nearest
            settings that work.
    """
    if units_per_step < 1:
        raise ConfigError(f"{unit}_per_step is {units_per_step}; 1 or more is expected.")
    if units < units_per_step and not last_step_smaller:
        raise ConfigError(
            f"There are {units} {unit}, fewer than the {units_per_step} of one step; an epoch would have no "
            f"step. Set {unit}_per_step to {units} or less, or add {unit}."
        )
    rows = units_per_step * rows_per_unit
    counted = f"{units_per_step} {unit}" + (f" x {rows_per_unit} rows" if rows_per_unit > 1 else "")
    if rows % processes:
        step = processes // math.gcd(processes, rows_per_unit)
        raise ConfigError(
            f"A step of {counted} cannot be divided among {processes} processes. "
            f"Set {unit}_per_step to {_neighbors(units_per_step, step)}."
        )
    per_process = rows // processes
    divisors = [n for n in range(1, per_process + 1) if per_process % n == 0]
    if not micro_batch:
        micro_batch = max(n for n in divisors if n <= max(1, largest))
    if micro_batch not in divisors:
        near = sorted(sorted(divisors, key=lambda n: abs(n - micro_batch))[:2])
        raise ConfigError(
            f"micro_batch is {micro_batch}, which does not divide the {per_process} {counted.split()[-1]} "
            f"of a process ({counted} / {processes} processes). Set it to {' or '.join(map(str, near))}."
        )
    return BatchPlan(
        units,
        units_per_step,
        rows_per_unit,
        processes,
        micro_batch,
        per_process // micro_batch,
        last_step_smaller,
    )


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
        f"{languages} x {generations} = {block}. Nearest: steps_per_generation "
        f"{_neighbors(steps_per_generation, unit)}, or per_device {_neighbors(per_device, other)}."
    )


def _neighbors(value: int, step: int) -> str:
    """The multiples of a step on both sides of a value."""
    below, above = value // step * step, -(-value // step) * step
    return " or ".join(str(n) for n in dict.fromkeys((below, above)) if n > 0)
