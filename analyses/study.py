"""What a study of several checkpoints found: results, noise floors, and the comparisons to the first checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from analyses.comparison import Comparison
from analyses.noise import NoiseFloor
from interp.data.prompts import PromptSet
from interp.results import UnitResult

__all__ = ["SpecializationStudy"]


@dataclass(frozen=True)
class SpecializationStudy:
    """Results per unit kind and checkpoint, with floors, and the comparisons to the first checkpoint.

    Attributes:
        names: Checkpoints, in the order given.
        prompts: What was read.
        results: 'neurons' or 'heads' -> one result per checkpoint.
        floors: The same, noise floors.
        comparisons: The same, one less: each later checkpoint against the first.
        files: Everything written or reused.
    """

    names: tuple[str, ...]
    prompts: PromptSet
    results: dict[str, list[UnitResult]] = field(default_factory=dict)
    floors: dict[str, list[NoiseFloor]] = field(default_factory=dict)
    comparisons: dict[str, list[Comparison]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def diagnostics(self) -> list[str]:
        """What makes the results doubtful, in words; empty if nothing does."""
        diagnostics = []
        for unit, results in self.results.items():
            for name, result, floor in zip(self.names, results, self.floors[unit], strict=True):
                if not result.overall.interval()[0] > floor.chance:
                    diagnostics.append(
                        f"{name}: the {unit} are no more specialized ({result.overall.value:.2g} nats) than with shuffled "
                        f"language labels (up to {floor.chance:.2g})."
                    )
        return diagnostics
