"""What `interp ablate` removes, and what it is set to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from interp.config import option
from interp.results.settings import Settings

__all__ = ["AblationSettings"]


@dataclass(frozen=True)
class AblationSettings(Settings):
    """What `interp ablate` removes, and what it is set to."""

    units: str = option("neurons", "What is removed.", ("neurons", "heads"))
    count: int = option(0, "Units removed per language (0: 1 % of the neurons, 2 % of the heads).")
    rule: str = option(
        "specialized",
        "Which units are a language's own: more specialized in it than on average, or (heads) by LAHIS "
        "importance alone.",
        ("specialized", "important"),
    )
    mode: str = option(
        "zero", "What a removed unit is set to: 0, or its mean over languages.", ("zero", "mean")
    )
    draws: int = option(
        3, "Random sets of as many units, per language, that the harm is compared with.", minimum=1
    )
    seed: int = option(0, "Seed of the random sets.")
    read: int = option(0, "At most this many facts select the units (0: all of the split).")
    min_tokens: int = option(1000, "Fewest tokens per language to select neurons.")

    measure: ClassVar[str] = "ablation"

    def stored(self) -> dict[str, Any]:
        """As of `Settings`; a count of 0 is what `interp.results.selection.default_count` makes it.

        The facts that select are in the question by their digest.
        """
        stored = {**super().stored(), "count": self.count or "default"}
        return {name: value for name, value in stored.items() if name not in ("read", "min_tokens")}
