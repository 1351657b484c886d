"""What a measure gives to look at: a figure with the numbers on its axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Drawing"]


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn when it is asked for.

    Attributes:
        stem: Of its files; empty for the suffix of the results.
        draw: Makes the figure.
        data: The numbers on its axes, of all panels, tidy.
    """

    stem: str
    draw: Callable[[], Figure]
    data: pd.DataFrame
