"""The change of specialization: per layer with interval, relative to its noise, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from jaxtyping import Float

from analyses.comparison.base import Change
from interp.errors import ResultError, short
from interp.results.noise import NoiseFloor
from interp.results.units import UnitResult
from interp.stats import ALPHA, FEW_CLUSTERS, Family, Jackknife, Noise, family_wise, interval_text, jaccard

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UnitComparison", "compare_units", "contrast"]

_FEW_ITEMS = 100


@dataclass(frozen=True, repr=False)
class UnitComparison(Change):
    """The change of specialization from one checkpoint to another, paired over blocks of facts.

    A change is judged by the noise of the paired change: both checkpoints read the same text, so what the
    choice of text does to both cancels. How much two texts differ for one checkpoint (``floor``) is larger,
    and stands beside it.

    Attributes:
        kind: Of the two results.
        unit: 'neuron', 'head' or 'expert'.
        names: The two checkpoints.
        before: Mean specialization per layer of the first, nats.
        after: Of the second.
        floor: Noise floor of the first: between two texts.
        overlap: Jaccard index of the two selected sets (0 to 1).
        notes: What weakens the comparison, in words.
        family: What its p are corrected over; the model-level changes share one half of the error rate.
        layers: What the layers are called in the models.
    """

    kind: str
    unit: str
    names: tuple[str, str]
    before: Jackknife
    after: Jackknife
    floor: NoiseFloor
    overlap: float
    notes: tuple[str, ...]
    family: Family
    layers: tuple[int, ...]

    main: ClassVar[tuple[str, ...]] = ("mean",)

    @property
    def change(self) -> Jackknife:
        """Paired change of the model-level mean, nats."""
        return self.after.mean() - self.before.mean()

    @property
    def change_per_layer(self) -> Jackknife:
        """Paired change of each layer's mean, nats."""
        return self.after - self.before

    @cached_property
    def noise(self) -> Noise:
        """What the model-level change stays below in 95 % of texts if nothing has changed, nats."""
        return self.change.noise()

    @property
    def relative_to_noise(self) -> float:
        """|change| / noise of the paired change; NaN where that is zero, because all blocks change alike."""
        noise = float(self.noise.value)
        return abs(float(self.change.value)) / noise if noise > 0 else float("nan")

    def tests(self) -> Mapping[str, np.ndarray]:
        """p of the model-level change and of each layer's."""
        return _tests(self.before, self.after)

    def within(self, family: Family) -> Self:
        """The comparison with its p corrected in a family."""
        return replace(self, family=family)

    @property
    def p(self) -> float:
        """p of the model-level change, corrected over the family."""
        return float(self.family.adjusted["mean"])

    @property
    def adjusted_p(self) -> Float[np.ndarray, " layer"]:
        """p of each layer's change, corrected over the family."""
        return self.family.adjusted["layers"]

    @property
    def differs(self) -> bool:
        """Whether the model-level change is shown, after correction, to differ from zero."""
        return self.p < ALPHA

    @property
    def mde(self) -> float:
        """The smallest model-level change that would have been shown in 80 % of such samples, nats."""
        return float(self.change.mde(alpha=self.family.levels["mean"]))

    @property
    def verdict(self) -> str:
        """Whether the model as a whole became more or less specialized, in words."""
        if np.isnan(self.p):
            layers = np.flatnonzero(np.isnan(self.change_per_layer.p_value())).tolist()
            return (
                f"No verdict: the change is not a number in layers {', '.join(map(str, layers))}, so the "
                "results are not valid there. Measure again with --fresh."
            )
        over = f"Holm p {self.p:.2g} over {self.corrected_over}"
        if self.differs:
            direction = "More" if self.change.value > 0 else "Less"
            return f"{direction} specialized, {self._size()}; {over}."
        found = ""
        if not np.isnan(self.mde):
            found = f" A change of {self.mde:.2g} nats would have been found in 80 % of such samples (MDE)."
        return f"No difference is shown: {over}.{found}"

    def _size(self) -> str:
        if np.isnan(self.relative_to_noise):
            return "by as much in every block"
        return f"by {self.relative_to_noise:.1f} times the noise of a paired change"

    def __repr__(self) -> str:
        low, high = self.change.interval()
        noise, floor = self.noise, self.floor.mean
        return (
            f"{self.names[0]} -> {self.names[1]}, {self.unit}s: mean specialization "
            f"{self.before.mean().value:.4g} -> {self.after.mean().value:.4g} nats, "
            f"change {self.change.value:+.3g} {interval_text(low, high, '+.3g')} 95 % over "
            f"{self.before.n_blocks} blocks, "
            f"noise {noise.value:.2g} {interval_text(noise.low, noise.high, '.2g')} (between two texts "
            f"{floor.value:.2g} "
            f"{interval_text(floor.low, floor.high, '.2g')})\n"
            f"  selected sets: Jaccard {self.overlap:.2f} (two halves of the first: "
            f"{self.floor.overlap.mean():.2f})\n"
            f"  {self.diagnosis}"
        )

    def summary(self) -> pd.DataFrame:
        """One row: the model-level means, their change, its interval, corrected p, MDE and noise, in nats.

        ``noise``: of the paired change; ``noise_floor``: between two texts; each with the ends of its
        interval.
        """
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
            "p": float(self.change.p_value()),
            "holm": self.p,
            "family": self.corrected_over,
            "mde": self.mde,
            **_noise_columns("noise", self.noise),
            **_noise_columns("noise_floor", self.floor.mean),
        }
        return pd.DataFrame([row])

    def to_frame(self) -> pd.DataFrame:
        """One row per layer: both means, change, interval, p, corrected p, MDE, noise; all in nats but p."""
        import pandas as pd

        change = self.change_per_layer
        low, high = change.interval()
        return pd.DataFrame(
            {
                "layer": np.array(self.layers),
                "n_blocks": self.before.n_blocks,
                "before": self.before.value,
                "after": self.after.value,
                "change": change.value,
                "low": low,
                "high": high,
                "p": change.p_value(),
                "holm": self.adjusted_p,
                "family": self.corrected_over,
                "mde": change.mde(alpha=self.family.levels["layers"]),
                **_noise_columns("noise", change.noise()),
                **_noise_columns("noise_floor", self.floor.layers),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        low, high = (float(x) for x in self.change.interval())
        noise, floor = self.noise, self.floor.mean
        return {
            "unit": self.unit,
            "names": list(self.names),
            "n_blocks": self.before.n_blocks,
            "before_nats": float(self.before.mean().value),
            "after_nats": float(self.after.mean().value),
            "change_nats": float(self.change.value),
            "interval_95": [low, high],
            "p": float(self.change.p_value()),
            "holm_p": self.p,
            "family": self.family_dict(),
            "mde_nats": self.mde,
            "noise_nats": float(noise.value),
            "noise_interval_95": [float(noise.low), float(noise.high)],
            "relative_to_noise": self.relative_to_noise,
            "noise_floor_nats": float(floor.value),
            "noise_floor_interval_95": [float(floor.low), float(floor.high)],
            "chance_nats": self.floor.chance,
            "differs": self.differs,
            "jaccard": self.overlap,
            "jaccard_of_halves": float(self.floor.overlap.mean()),
            "diagnosis": self.diagnosis,
            "layers": self.to_frame().drop(columns="family").to_dict(orient="list"),
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
    layers = [tuple(r.layer_numbers) for r in (before, after)]
    if shapes[0] == shapes[1] and layers[0] != layers[1]:
        raise ResultError(
            f"'{names[0]}' has {before.unit}s in layers {_listed(layers[0])}, '{names[1]}' in "
            f"{_listed(layers[1])}: only checkpoints of one model family can be compared unit by unit."
        )
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
    tests = _tests(before.per_layer, after.per_layer)
    return UnitComparison(
        kind=before.kind,
        unit=before.unit,
        names=names,
        before=before.per_layer,
        after=after.per_layer,
        floor=before.noise_floor,
        overlap=jaccard(before.selected(), after.selected()),
        notes=tuple(_notes(before, after)),
        family=family_wise(tests, f"{names[1]} against {names[0]}", main=UnitComparison.main),
        layers=tuple(before.layer_numbers),
    )


def _tests(before: Jackknife, after: Jackknife) -> dict[str, np.ndarray]:
    change = after - before
    return {"mean": np.asarray(change.mean().p_value()), "layers": np.asarray(change.p_value())}


def _listed(layers: tuple[int, ...]) -> str:
    return ", ".join(map(str, layers))


def _noise_columns(name: str, noise: Noise) -> dict[str, Any]:
    return {name: noise.value, f"{name}_low": noise.low, f"{name}_high": noise.high}


def _notes(before: UnitResult, after: UnitResult) -> list[str]:
    notes = []
    items = int(before.items.sum(axis=1).min())
    if items < _FEW_ITEMS:
        notes.append(f"Few prompts: {items} per language.")
    if before.n_blocks < FEW_CLUSTERS:
        notes.append(f"{before.n_blocks} blocks, fewer than {FEW_CLUSTERS}, so intervals are wide.")
    for key in ("dtype", "attention", "padding"):
        values = [r.provenance.run.get(key) for r in (before, after)]
        if values[0] != values[1]:
            notes.append(f"The runs differ in {key} ({values[0]} and {values[1]}).")
    if getattr(before, "mask", "frozen") == "trained":
        notes.append("A trained mask depends on the order of items: the interval is not valid.")
    return notes
