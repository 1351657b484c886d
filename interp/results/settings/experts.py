"""What `interp experts` measures, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from interp.config import option
from interp.results.settings import Settings

__all__ = ["ExpertsSettings"]


@dataclass(frozen=True)
class ExpertsSettings(Settings):
    """What `interp experts` measures, and how."""

    blocks: int = option(
        8,
        "Groups of facts that carry the uncertainty; the same for every checkpoint.",
        minimum=2,
        maximum=10**5,
    )
    min_tokens: int = option(1000, "Fewest tokens per language.", minimum=1)

    measure: ClassVar[str] = "experts"
