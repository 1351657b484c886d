"""Compare two results of the same question: change with interval, relative to the noise floor, and a diagnosis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from analyses.changes import Changes, compare_facts
from analyses.noise import NoiseFloor, noise_floor
from interp.errors import ResultError, short
from interp.files import write_atomically
from interp.results.base import FactResult, Result
from interp.results.units import UnitResult
from interp.stats import Jackknife, fdr_adjust, jaccard

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare", "compare_results", "contrast"]

_FEW_BLOCKS = 6
_FEW_ITEMS = 100


@dataclass(frozen=True)
class Comparison:
    """The change of specialization from one checkpoint to another, paired over blocks of facts.

    Attributes:
        unit: 'neuron' or 'head'.
        names: The two checkpoints.
        before: Mean specialization per layer of the first, nats.
        after: Of the second.
        floor: Noise floor of the first.
        overlap: Jaccard index of the two selected sets (0 to 1).
        diagnostics: What makes the comparison weaker, in words.
    """

    unit: str
    names: tuple[str, str]
    before: Jackknife
    after: Jackknife
    floor: NoiseFloor
    overlap: float
    diagnostics: tuple[str, ...]

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
            verdict = f"{direction.capitalize()} specialized, by {self.relative_to_floor:.1f} times the noise floor."
        return " ".join([verdict, *self.diagnostics])

    def __repr__(self) -> str:
        low, high = self.change.interval()
        return (
            f"{self.names[0]} -> {self.names[1]}, {self.unit}s: mean specialization "
            f"{self.before.mean().value:.4g} -> {self.after.mean().value:.4g} nats, "
            f"change {self.change.value:+.3g} [{low:+.3g}, {high:+.3g}] 95 %, noise floor {self.floor.overall:.2g}\n"
            f"  selected sets: Jaccard {self.overlap:.2f} (two halves of the first: {self.floor.overlap.mean():.2f})\n"
            f"  {self.diagnosis}"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>{self.to_frame().to_html(index=False, float_format='%.4g')}"

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

    def save(self, path: Path | str) -> Path:
        """Write JSON; whole or not at all."""
        text = json.dumps(_finite(self.to_dict()), indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(Path(path), lambda stream: stream.write(text.encode()))
        return Path(path)


def compare(before: UnitResult, after: UnitResult, *, names: Sequence[str] | None = None) -> Comparison:
    """Compare two checkpoints on the same prompts.

    Raises:
        ResultError: The results are of different kinds, prompts, languages, settings or model shapes; names both.
    """
    if before.kind != after.kind:
        raise ResultError(
            f"A result of kind '{before.kind}' cannot be compared with one of kind '{after.kind}'."
        )
    before_name, after_name = names or (before.provenance.checkpoint, after.provenance.checkpoint)
    differing = before.provenance.differences(after.provenance, ignore=("dtype", "attention"))
    if differing:
        listed = "; ".join(f"{k}: {short(a)} and {short(b)}" for k, (a, b) in differing.items())
        raise ResultError(
            f"'{before_name}' and '{after_name}' did not answer the same question ({listed}). Measure both in one command."
        )
    shapes = [r.scores.plug_in.shape for r in (before, after)]
    if shapes[0] != shapes[1]:
        raise ResultError(
            f"'{before_name}' has {shapes[0][0]} layers x {shapes[0][1]} {before.unit}s, '{after_name}' {shapes[1][0]} x "
            f"{shapes[1][1]}: only checkpoints of one model family can be compared unit by unit."
        )
    return contrast(before, after, names=(before_name, after_name))


def compare_results(
    before: Result, after: Result, *, names: Sequence[str] | None = None
) -> Comparison | Changes:
    """Compare two results of any kind, see `compare` and `analyses.changes.compare_facts`.

    Raises:
        ResultError: They are of different kinds, or did not answer the same question.
    """
    if isinstance(before, UnitResult) and isinstance(after, UnitResult):
        return compare(before, after, names=names)
    if before.kind == after.kind and isinstance(before, FactResult) and isinstance(after, FactResult):
        return compare_facts(before, after, names=names)
    raise ResultError(f"A result of kind '{before.kind}' cannot be compared with one of kind '{after.kind}'.")


def contrast(
    before: UnitResult, after: UnitResult, *, names: tuple[str, str] = ("before", "after")
) -> Comparison:
    """The statistics of `compare` without its checks: for halves and permutations, whose questions differ by design.

    Block b of one is paired with block b of the other.
    """
    return Comparison(
        unit=before.unit,
        names=names,
        before=before.per_layer,
        after=after.per_layer,
        floor=noise_floor(before),
        overlap=jaccard(before.selected(), after.selected()),
        diagnostics=tuple(_diagnostics(before, after)),
    )


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null instead."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _diagnostics(before: UnitResult, after: UnitResult) -> list[str]:
    diagnostics = []
    items = int(before.items.sum(axis=1).min())
    if items < _FEW_ITEMS:
        diagnostics.append(f"Few prompts: {items} per language.")
    if before.n_blocks < _FEW_BLOCKS:
        diagnostics.append(f"Few blocks: {before.n_blocks}; the interval is wide and rough.")
    for key in ("dtype", "attention", "padding"):
        values = [r.provenance.run.get(key) for r in (before, after)]
        if values[0] != values[1]:
            diagnostics.append(f"The runs differ in {key} ({values[0]} and {values[1]}).")
    if getattr(before, "mask", "frozen") == "trained":
        diagnostics.append("A trained mask depends on the order of items: the interval is not valid.")
    return diagnostics
