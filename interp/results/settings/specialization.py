"""What `interp specialization` measures, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from interp.config import option
from interp.results.settings import Settings

__all__ = ["MASKS", "SpecializationSettings"]

MASKS = ("frozen", "trained")


@dataclass(frozen=True)
class SpecializationSettings(Settings):
    """What `interp specialization` measures, and how."""

    units: str = option("all", "Which units.", ("neurons", "heads", "all"))
    blocks: int = option(
        8,
        "Groups of facts that carry the uncertainty; the same for every checkpoint.",
        minimum=2,
        maximum=10**5,
    )
    head_items: int = option(64, "Facts per language for head importance (0: all); one backward pass each.")
    mask: str = option(
        "frozen",
        "LAHIS mask: all ones; trained repeats the published code's, which drifts.",
        MASKS,
    )
    min_tokens: int = option(1000, "Fewest tokens per language for neurons.", minimum=1)

    measure: ClassVar[str] = "specialization"

    @property
    def unit_kinds(self) -> tuple[str, ...]:
        """Kinds of units, each with a result of its own."""
        return ("neurons", "heads") if self.units == "all" else (self.units,)

    def stored(self) -> dict[str, Any]:
        """What decides the numbers of neurons."""
        return {"measure": "specialization", "blocks": self.blocks, "site": "mlp_gate"}

    def stored_heads(self) -> dict[str, Any]:
        """What decides the numbers of heads."""
        return {"measure": "heads", "blocks": self.blocks, "site": "head", "mask": self.mask}
