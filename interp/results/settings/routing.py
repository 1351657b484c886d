"""What `interp routing` attributes, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from interp.config import option
from interp.results.settings import Settings

__all__ = ["RoutingSettings"]


@dataclass(frozen=True)
class RoutingSettings(Settings):
    """What `interp routing` attributes, and how."""

    units: str = option("all", "Which units carry an answer.", ("heads", "neurons", "all"))
    top: float = option(
        0.01,
        "Share of the units of a layer, and of all layers, that counts as carrying most of an answer.",
        above=0,
        below=1,
    )

    measure: ClassVar[str] = "routing"

    @property
    def unit_kinds(self) -> tuple[str, ...]:
        """Kinds of units, in the order of the result's unit axis."""
        return ("heads", "neurons") if self.units == "all" else (self.units,)

    def stored(self) -> dict[str, Any]:
        """As of `Settings`, with the kinds of units listed."""
        return {**super().stored(), "units": list(self.unit_kinds)}
