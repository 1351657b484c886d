"""What patching recovers: metrics of every patched run, beside clean, corrupt and control runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from interp.results.base import Provenance
from interp.results.fields import Along, FactIds, Languages, Numbers, OneOf, PerFact
from interp.results.recovery import LeftOut, Metrics, Runs, RunsResult
from interp.results.settings.patching import MODES, SITES
from interp.stats import interval_text, known_mean, ratio_of_means

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PatchingResult"]

Cells = Annotated[Float[np.ndarray, "fact language metric layer unit position"], Numbers(missing=True)]


@dataclass(frozen=True, eq=False, repr=False)
class PatchingResult(RunsResult):
    """Metrics of runs with activations of another run, one cell per layer, unit and position.

    Recovery of a cell is (patched - corrupt) / (clean - corrupt), each a mean over facts: 0 where the patch
    does nothing, 1 where it makes the target's run as good as the source's. Everything is recomputed from the
    stored metrics.

    Attributes:
        languages: Codes of the languages asked.
        fact_ids: All facts that were looked at.
        groups: Cluster of each fact.
        mode: ``within``, ``across``, ``concepts`` or ``checkpoints``.
        sources: Source languages (across, concepts); otherwise empty.
        site: Name of the patched site.
        units: Heads or neurons that were patched together, or ``all``.
        positions: Names of the spans.
        onward: Whether each patch went from its layer to the last.
        metrics: See `RunsResult`.
        left_out: See `RunsResult`.
        clean: See `RunsResult`.
        corrupt: See `RunsResult`.
        patched: With the activations of the fact's own source.
        control: With the activations of an unrelated fact in its place: the noise floor. NaN where no fact
            could serve.
        provenance: Where it comes from.

    Source: Meng et al. (2022), Locating and Editing Factual Associations in GPT; across languages with
    patches from a layer onward: Dumas et al. (2025), Separating Tongue from Thought. Intervals, the ratio of
    means and the control are ours.
    """

    languages: Languages
    fact_ids: FactIds
    groups: PerFact
    mode: Annotated[str, OneOf(MODES)]
    sources: tuple[str, ...]
    site: Annotated[str, OneOf(SITES)]
    units: Annotated[tuple[str, ...], Along("unit", unique=True)]
    positions: Annotated[tuple[str, ...], Along("position", unique=True)]
    onward: bool
    metrics: Metrics
    left_out: LeftOut
    clean: Runs
    corrupt: Runs
    patched: Cells
    control: Cells
    provenance: Provenance

    headlines: ClassVar[Mapping[str, str]] = {
        "recovery, mean of cells": "what patching recovers of the answer, mean over cells",
    }
    kind: ClassVar[str] = "patching"
    _of_pairs: ClassVar[tuple[str, ...]] = ("patched", "control")

    def recovery(self, metric: str = "logit_diff", language: str = "") -> pd.DataFrame:
        """One row per layer, unit and position.

        Columns: ``n`` facts in ``n_clusters``; the uncorrected means ``clean``, ``corrupt``, ``patched`` and
        ``control`` in the metric's unit; ``recovery`` with its 95 % interval ``low`` to ``high`` (Fieller's,
        over clusters); ``floor``, the recovery by the control, with ``floor_low`` and ``floor_high``; and
        ``beyond``, recovery minus floor on the facts that have a control, with the interval of the paired
        difference, and ``beyond_p``, of its being zero.

        Args:
            metric: One of `METRICS`, or another name of the metric axis.
            language: One language; by default every fact's mean over those in which it was used.

        Raises:
            ResultError: The metric or the language is unknown.
        """
        import pandas as pd

        parts = self._parts(metric, language)
        clean, corrupt, patched, control = (
            parts[name] for name in ("clean", "corrupt", "patched", "control")
        )
        by_name = {
            "recovery": ratio_of_means(parts["recovered"], parts["gap"], self.groups),
            "floor": ratio_of_means(parts["by_control"], parts["control_gap"], self.groups),
            "beyond": ratio_of_means(parts["beyond"], parts["control_gap"], self.groups),
        }
        layer, unit, position = np.indices(patched.shape[1:])
        columns = {
            "layer": layer.ravel(),
            "unit": np.array(self.units)[unit.ravel()],
            "position": np.array(self.positions)[position.ravel()],
            "n": (~np.isnan(patched)).sum(axis=0).ravel(),
            "n_clusters": by_name["recovery"].n_clusters.ravel(),
            "clean": known_mean(clean, axis=0).ravel(),
            "corrupt": known_mean(corrupt, axis=0).ravel(),
            "patched": known_mean(patched, axis=0).ravel(),
            "control": known_mean(control, axis=0).ravel(),
        }
        for name, ratio in by_name.items():
            cells = ratio.columns(name, "" if name == "recovery" else f"{name}_", counts=False)
            columns |= {part: values.ravel() for part, values in cells.items()}
        columns["beyond_p"] = by_name["beyond"].p.ravel()
        return pd.DataFrame(columns)

    def strongest(self, n: int, metric: str = "logit_diff") -> pd.DataFrame:
        """The rows with the largest recovery beyond the floor (without a floor: recovery), in their order."""
        table = self.recovery(metric)
        by = table.beyond.fillna(table.recovery).sort_values(ascending=False, kind="stable")
        return table.loc[by.index[:n]].sort_index()

    def by_language(self, metric: str = "logit_diff") -> pd.DataFrame:
        """The `best` cell by language: ``n``, ``recovery``, ``beyond`` with intervals, two shares of facts.

        ``rescued``: facts where the right answer overtakes the wrong one; ``rescued_by_control``: with an
        unrelated fact's activations.
        """
        import pandas as pd

        cell = self.best(metric)
        rows = []
        for code in self.languages:
            here, rescued = self.at(*cell, metric, code), self.at(*cell, "rescued", code)
            shares = {"rescued": rescued.patched, "rescued_by_control": rescued.control}
            rows.append({"language": code, **here.to_dict(), **shares})
        return pd.DataFrame(rows)

    def best(self, metric: str = "logit_diff") -> tuple[int, int, int]:
        """Layer, unit and position of the cell that recovers most beyond the floor, if there is one."""
        table = self.recovery(metric)
        beyond = table.beyond.where(table.beyond.notna(), table.recovery).fillna(-np.inf)
        layer, unit, position = np.unravel_index(int(beyond.argmax()), self.patched.shape[3:])
        return int(layer), int(unit), int(position)

    def means(self, metric: str = "logit_diff") -> tuple[float, float]:
        """Mean over cells of the clean and of the corrupt metric; NaN without any pair."""
        table = self.recovery(metric)
        return float(table.clean.mean()), float(table.corrupt.mean())

    def at(
        self, layer: int, unit: int, position: int, metric: str = "logit_diff", language: str = ""
    ) -> pd.Series:
        """The row of `recovery` of one cell."""
        index = np.ravel_multi_index((layer, unit, position), self.patched.shape[3:])
        return self.recovery(metric, language).iloc[int(index)]

    def to_frame(self, metric: str = "logit_diff") -> pd.DataFrame:
        """`recovery` over all languages and in each, with a column ``language`` (``all`` first)."""
        import pandas as pd

        parts = [self.recovery(metric).assign(language="all")]
        if len(self.languages) > 1:
            parts += [self.recovery(metric, code).assign(language=code) for code in self.languages]
        return pd.concat(parts, ignore_index=True)

    def quantities(self, metric: str = "logit_diff") -> dict[str, Float[np.ndarray, " fact"]]:
        """Each fact's clean and corrupt metric, what each cell recovers of it, and that beyond the floor.

        What a cell recovers is divided by the *mean* gap between clean and corrupt, so that its mean over
        facts is the ratio of means; intervals from it take that gap as given.
        """
        parts = self._parts(metric)
        per_fact = {
            f"{name} {metric}": known_mean(self.of_metric(getattr(self, name), metric), axis=1)
            for name in ("clean", "corrupt")
        }
        for name, above, below in (("recovery", "recovered", "gap"), ("beyond", "beyond", "control_gap")):
            usual = known_mean(parts[below], axis=0)
            values = parts[above] / np.where(usual > 0, usual, np.nan)
            if name == "recovery":
                per_fact["recovery, mean of cells"] = known_mean(values.reshape(len(values), -1), axis=1)
            for cell in np.ndindex(usual.shape):
                per_fact[f"{name} {self.name_of(*cell)}"] = values[:, *cell]
        return per_fact

    def _parts(
        self, metric: str, language: str = ""
    ) -> dict[str, Float[np.ndarray, "fact layer unit position"]]:
        """Per fact and cell, means over the languages in which the fact has that very run.

        A prompt may be too short for a position, and a pair may have no control; a mean of differences over
        other languages than that of the gap would then recover something where a patch does nothing.
        """
        clean, corrupt, patched, control = (
            self.of_metric(run, metric, language)
            for run in (self.clean, self.corrupt, self.patched, self.control)
        )
        clean, corrupt = (
            np.where(np.isnan(patched), np.nan, run[..., None, None, None]) for run in (clean, corrupt)
        )
        gap = clean - corrupt
        by_name = {
            "clean": clean,
            "corrupt": corrupt,
            "patched": patched,
            "control": control,
            "gap": gap,
            "recovered": patched - corrupt,
            "control_gap": np.where(np.isnan(control), np.nan, gap),
            "by_control": control - corrupt,
            "beyond": patched - control,
        }
        return {name: known_mean(values, axis=1) for name, values in by_name.items()}

    def name_of(self, layer: int, unit: int, position: int) -> str:
        """What to call a cell."""
        unit_name = self.units[unit]
        where = f"layer {layer}" if unit_name == "all" else f"layer {layer} {self.site} {unit_name}"
        return f"{where}{' onward' * self.onward} {self.positions[position]}"

    def diagnostics(self, metric: str = "logit_diff") -> list[str]:
        """What makes the result doubtful, in words; empty if nothing does."""
        gap = known_mean(self.gap(metric), axis=1)
        diagnostics = self.few_clusters(~np.isnan(gap))
        if not known_mean(gap) > 0:
            diagnostics.append(
                f"Clean runs are not better than corrupt ones by {metric} (mean difference "
                f"{known_mean(gap):.3g}), so there is nothing to recover."
            )
        if not (~np.isnan(self.control)).any():
            diagnostics.append("No unrelated fact could serve as a control, so there is no noise floor.")
        return diagnostics

    def __repr__(self) -> str:
        table, lines = self.recovery(), [self._first_line(f"{self.site} {self.mode}", self.sources)]
        if table.recovery.notna().any():
            best = table.loc[table.recovery.idxmax()]
            lines.append(
                f"  most recovered at layer {best.layer}, {self.site} {best.unit}, {best.position}: "
                f"{best.recovery:.3f} "
                f"{interval_text(best.low, best.high, '.3f')} of a logit difference of "
                f"{best.clean - best.corrupt:.2f}; by an unrelated "
                f"fact {best.floor:.3f}"
            )
        return "\n".join(lines)
