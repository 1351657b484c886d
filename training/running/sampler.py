"""The order of facts, pairs or instances: whole steps, shuffled as a function of seed and epoch, so that a run can go on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

__all__ = ["FactSampler"]


class FactSampler(Sampler[int]):
    """Row indices of a fact-major data set, in blocks [fact, language, completion].

    The order of an epoch depends on seed and epoch alone, so a resumed run goes on where it was, in any epoch. Facts
    at the end that fill no generation batch are left out; others in each epoch.

    Args:
        facts: Number of facts.
        languages: Rows per fact.
        generations: Completions per row.
        facts_per_batch: Facts in a generation batch, over all processes.
        repeats: How often a generation batch is handed out: once per micro-batch.
        seed: Of the order.
    """

    def __init__(
        self, facts: int, languages: int, generations: int, facts_per_batch: int, repeats: int, seed: int
    ):
        self.facts, self.languages, self.generations = facts, languages, generations
        self.facts_per_batch, self.repeats, self.seed, self.epoch = facts_per_batch, repeats, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole = self.facts // self.facts_per_batch * self.facts_per_batch
        return whole * self.languages * self.generations * self.repeats

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(hash((self.seed, self.epoch)) % 2**63)
        order = torch.randperm(self.facts, generator=generator).tolist()
        for start in range(
            0, self.facts // self.facts_per_batch * self.facts_per_batch, self.facts_per_batch
        ):
            batch = order[start : start + self.facts_per_batch]
            for _ in range(self.repeats):
                for fact in batch:
                    for row in range(fact * self.languages, (fact + 1) * self.languages):
                        yield from [row] * self.generations
