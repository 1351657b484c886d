"""What every comparison of two checkpoints has: frames, notes, and one JSON file."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison"]


class Comparison(ABC):
    """The change between two checkpoints.

    Attributes:
        kind: Of the two results.
        names: The two checkpoints.
        notes: What weakens the comparison, in words.
    """

    kind: str
    names: tuple[str, str]
    notes: tuple[str, ...]

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """One row per quantity or layer that is compared."""

    @abstractmethod
    def summary(self) -> pd.DataFrame:
        """The answer in few rows: before, after, change with its interval."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN and infinity are allowed."""

    @property
    def diagnosis(self) -> str:
        """The verdict, or what weakens it, in words."""
        return " ".join(self.notes)

    def diagnostics(self) -> list[str]:
        """What weakens the comparison, in words; empty if nothing does."""
        return list(self.notes)

    def save(self, path: Path | str) -> Path:
        """Write JSON; whole or not at all."""
        text = json.dumps(_finite(self.to_dict()), indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(Path(path), lambda stream: stream.write(text.encode()))
        return Path(path)

    def _repr_html_(self) -> str:
        table = self.to_frame().to_html(index=False, float_format="%.4g")
        return f"<pre>{escape(repr(self))}</pre>{table}"


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null instead."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
