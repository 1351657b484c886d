"""The change of specialization: per layer with interval, relative to the noise floor, and a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from analyses.comparison.base import Comparison
from interp.errors import ResultError, short
from interp.results.noise import NoiseFloor
from interp.results.units import UnitResult
from interp.stats import Jackknife, fdr_adjust, jaccard

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UnitComparison", "compare_units", "contrast"]

_FEW_BLOCKS = 6
_FEW_ITEMS = 100


@dataclass(frozen=True, repr=False)
class UnitComparison(Comparison):
    """The change of specialization from one checkpoint to another, paired over blocks of facts.

    Attributes:
        kind: Of the two results.
        unit: 'neuron' or 'head'.
        names: The two checkpoints.
        before: Mean specialization per layer of the first, nats.
        after: Of the second.
        floor: Noise floor of the first.
        overlap: Jaccard index of the two selected sets (0 to 1).
        notes: What weakens the comparison, in words.
    """

    kind: str
    unit: str
    names: tuple[str, str]
    before: Jackknife
    after: Jackknife
    floor: NoiseFloor
    overlap: float
    notes: tuple[str, ...]

    @property
    def change(self) -> Jackknife:
        """Paired change of the model-level mean, nats."""
        return self.after.mean() - self.before.mean()

    @property
    def change_per_layer(self) -> Jackknife:
        """Paired change of each layer's mean, nats."""
        return self.after - self.before

    @property
    def adjusted_p(self) -> Float[np.ndarray, " layer"]:
        """p-value of each layer's change, adjusted over layers (Benjamini-Hochberg)."""
        return fdr_adjust(self.change_per_layer.p_value())

    @property
    def differs(self) -> bool:
        """Whether the 95 % interval of the model-level change excludes zero."""
        low, high = self.change.interval()
        return bool(low > 0 or high < 0)

    @property
    def relative_to_floor(self) -> float:
        """|change| / split-half noise floor; infinite if the floor is zero."""
        change = abs(float(self.change.value))
        if self.floor.overall == 0:
            return float("inf") if change else 0.0
        return change / self.floor.overall

    @property
    def diagnosis(self) -> str:
        """The verdict in words."""
        direction = "more" if self.change.value > 0 else "less"
        if not self.differs:
            verdict = "No difference is shown: the 95 % interval includes zero."
        elif self.relative_to_floor < 1:
            verdict = (
                f"{direction.capitalize()} specialized on this text, but within the noise floor: "
                "another choice of text moves the first checkpoint as much."
            )
        else:
            verdict = (
                f"{direction.capitalize()} specialized, by {self.relative_to_floor:.1f} times the noise "
                "floor."
            )
        return " ".join([verdict, *self.notes])

    def __repr__(self) -> str:
        low, high = self.change.interval()
        return (
            f"{self.names[0]} -> {self.names[1]}, {self.unit}s: mean specialization "
            f"{self.before.mean().value:.4g} -> {self.after.mean().value:.4g} nats, change "
            f"{self.change.value:+.3g} [{low:+.3g}, {high:+.3g}] 95 %, noise floor {self.floor.overall:.2g}\n"
            f"  selected sets: Jaccard {self.overlap:.2f} (two halves of the first: "
            f"{self.floor.overlap.mean():.2f})\n"
            f"  {self.diagnosis}"
        )

    def summary(self) -> pd.DataFrame:
        """One row: the model-level means, their change and its interval, noise floor and chance, in nats."""
        import pandas as pd

        low, high = (float(x) for x in self.change.interval())
        row = {
            "quantity": f"mean specialization of {self.unit}s (nats)",
            "n_blocks": self.before.n_blocks,
            "before": float(self.before.mean().value),
            "after": float(self.after.mean().value),
            "change": float(self.change.value),
            "low": low,
            "high": high,
            "noise_floor": self.floor.overall,
        }
        return pd.DataFrame([row])

    def to_frame(self) -> pd.DataFrame:
        """One row per layer: both means, change, interval, adjusted p, noise floor; all in nats but p."""
        import pandas as pd

        low, high = self.change_per_layer.interval()
        return pd.DataFrame(
            {
                "layer": np.arange(len(low)),
                "before": self.before.value,
                "after": self.after.value,
                "change": self.change_per_layer.value,
                "low": low,
                "high": high,
                "adjusted_p": self.adjusted_p,
                "noise_floor": self.floor.per_layer,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        low, high = (float(x) for x in self.change.interval())
        return {
            "unit": self.unit,
            "names": list(self.names),
            "before_nats": float(self.before.mean().value),
            "after_nats": float(self.after.mean().value),
            "change_nats": float(self.change.value),
            "interval_95": [low, high],
            "noise_floor_nats": self.floor.overall,
            "chance_nats": self.floor.chance,
            "relative_to_floor": self.relative_to_floor,
            "differs": self.differs,
            "jaccard": self.overlap,
            "jaccard_of_halves": float(self.floor.overlap.mean()),
            "diagnosis": self.diagnosis,
            "layers": self.to_frame().to_dict(orient="list"),
        }


def compare_units(before: UnitResult, after: UnitResult, *, names: tuple[str, str]) -> UnitComparison:
    """Compare two checkpoints on the same prompts.

    Raises:
        ResultError: The results are of different prompts, languages, settings or model shapes; names both.
    """
    differing = before.provenance.differences(after.provenance, ignore=("dtype", "attention"))
    if differing:
        listed = "; ".join(f"{k}: {short(a)} and {short(b)}" for k, (a, b) in differing.items())
        raise ResultError(
            f"'{names[0]}' and '{names[1]}' did not answer the same question ({listed}). Measure both in one "
            "command."
        )
    shapes = [r.scores.plug_in.shape for r in (before, after)]
    if shapes[0] != shapes[1]:
        raise ResultError(
            f"'{names[0]}' has {shapes[0][0]} layers x {shapes[0][1]} {before.unit}s, '{names[1]}' "
            f"{shapes[1][0]} x {shapes[1][1]}: only checkpoints of one model family can be compared unit by "
            "unit."
        )
    return contrast(before, after, names=names)


def contrast(
    before: UnitResult, after: UnitResult, *, names: tuple[str, str] = ("before", "after")
) -> UnitComparison:
    """The statistics of `compare_units` without its checks, for halves and permutations of one text.

    Block b of one is paired with block b of the other.
    """
    return UnitComparison(
        kind=before.kind,
        unit=before.unit,
        names=names,
        before=before.per_layer,
        after=after.per_layer,
        floor=before.noise_floor,
        overlap=jaccard(before.selected(), after.selected()),
        notes=tuple(_notes(before, after)),
    )


def _notes(before: UnitResult, after: UnitResult) -> list[str]:
    notes = []
    items = int(before.items.sum(axis=1).min())
    if items < _FEW_ITEMS:
        notes.append(f"Few prompts: {items} per language.")
    if before.n_blocks < _FEW_BLOCKS:
        notes.append(f"Few blocks: {before.n_blocks}; the interval is wide and rough.")
    for key in ("dtype", "attention", "padding"):
        values = [r.provenance.run.get(key) for r in (before, after)]
        if values[0] != values[1]:
            notes.append(f"The runs differ in {key} ({values[0]} and {values[1]}).")
    if getattr(before, "mask", "frozen") == "trained":
        notes.append("A trained mask depends on the order of items: the interval is not valid.")
    return notes
