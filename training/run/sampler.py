"""The order of facts, pairs, instances: whole steps, shuffled by seed and epoch, so that a run can resume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler

__all__ = ["FactSampler", "WholeSteps"]


class FactSampler(Sampler[int]):
    """Row indices of a fact-major data set, in blocks [fact, language, completion].

    The order of an epoch depends on seed and epoch alone, so a resumed run continues with the same order in
    any epoch. Facts at the end that fill no generation batch are left out; others in each epoch.

    Args:
        facts: Number of facts.
        languages: Rows per fact.
        generations: Completions per row.
        facts_per_batch: Facts in a generation batch, over all processes.
        repeats: How often a generation batch is returned: once per micro-batch.
        seed: Seed of the order.
    """

    def __init__(
        self, facts: int, languages: int, generations: int, facts_per_batch: int, repeats: int, seed: int
    ):
        self.facts, self.languages, self.generations = facts, languages, generations
        self.facts_per_batch, self.repeats, self.seed, self.epoch = facts_per_batch, repeats, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order comes next."""
        self.epoch = epoch

    @property
    def _whole(self) -> int:
        """Facts of an epoch that fill generation batches."""
        return self.facts // self.facts_per_batch * self.facts_per_batch

    def __len__(self) -> int:
        return self._whole * self.languages * self.generations * self.repeats

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(hash((self.seed, self.epoch)) % 2**63)
        order = torch.randperm(self.facts, generator=generator).tolist()
        for start in range(0, self._whole, self.facts_per_batch):
            batch = order[start : start + self.facts_per_batch]
            for _ in range(self.repeats):
                for fact in batch:
                    for row in range(fact * self.languages, (fact + 1) * self.languages):
                        yield from [row] * self.generations


class WholeSteps:
    """Base of trainers whose epochs have whole steps only, in the order of `FactSampler`.

    Attributes:
        per_step: Units per optimizer step, over all processes.
    """

    per_step: int
    train_dataset: Any
    args: Any

    def _get_train_sampler(self, dataset: Any = None) -> FactSampler:
        return FactSampler(len(self.train_dataset), 1, 1, self.per_step, 1, self.args.seed)
