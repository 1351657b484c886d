"""What every comparison of two checkpoints has: frames, notes, the family of its p, and one JSON file."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from interp.files import write_atomically
from interp.stats import Family, family_wise

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Change", "Comparison", "correct_together"]


class Comparison(ABC):
    """Two results side by side.

    Attributes:
        kind: Of the two results.
        names: What is compared.
        notes: What weakens the comparison, in words.
    """

    kind: str
    names: tuple[str, str]
    notes: tuple[str, ...]

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """One row per quantity or layer that is compared."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN and infinity are allowed."""

    def summary(self) -> pd.DataFrame:
        """The answer in few rows; all of them, unless a kind says otherwise."""
        return self.to_frame()

    @property
    def diagnosis(self) -> str:
        """What weakens the comparison, in words."""
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


class Change(Comparison):
    """The change between two checkpoints, tested and corrected.

    Attributes:
        family: What its p were corrected with: everything that one command compared.
    """

    family: Family

    main: ClassVar[Collection[str]] = ()
    """Tests that share one half of the error rate, see `interp.stats.family_wise`."""

    @abstractmethod
    def tests(self) -> Mapping[str, np.ndarray]:
        """Every uncorrected p of the comparison, by what it is of."""

    @abstractmethod
    def within(self, family: Family) -> Self:
        """The comparison with its p corrected in a family."""

    @property
    @abstractmethod
    def verdict(self) -> str:
        """What is shown to differ, or what would have been found if nothing is, in words."""

    @property
    def corrected_over(self) -> str:
        """How many changes p are corrected over, and which, in words."""
        return f"{self.family.n:,} change{'s' * (self.family.n != 1)} ({self.family.name})"

    @property
    def diagnosis(self) -> str:
        """The verdict, and what weakens it, in words."""
        return " ".join([self.verdict, *self.notes])

    def family_dict(self) -> dict[str, Any]:
        """The family for JSON."""
        return {"correction": "Holm", "tests": self.family.n, "of": self.family.name}


def correct_together(comparisons: Sequence[Change], name: str) -> list[Change]:
    """The comparisons with the p of all of them corrected as one family (Holm).

    Args:
        comparisons: Everything that was compared.
        name: What that is, in words.
    """
    tests = {(i, of): p for i, each in enumerate(comparisons) for of, p in each.tests().items()}
    main = {f"{i} {of}" for i, of in tests if of in comparisons[i].main}
    family = family_wise({f"{i} {of}": p for (i, of), p in tests.items()}, name, main=main)
    found = []
    for i, each in enumerate(comparisons):
        own = [of for number, of in tests if number == i]
        adjusted = {of: family.adjusted[f"{i} {of}"] for of in own}
        levels = {of: family.levels[f"{i} {of}"] for of in own}
        found.append(each.within(Family(name, family.n, adjusted, levels)))
    return found


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null instead."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
