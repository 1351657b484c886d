"""What patching every unit would do to first order, and what it does where that was verified."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from interp.errors import ResultError
from interp.results.base import Provenance
from interp.results.estimates import mean_estimates
from interp.results.recovery import LEFT_OUT, RunsResult
from interp.stats import CellMeans, Jackknife, cell_means, correlate, known_mean, slope

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HIGH_ENOUGH", "AttributionResult"]

HIGH_ENOUGH = (0.8, 0.5)
"""Pearson's correlation over the verified cells, and the lower end of its interval, below which estimates are
not to be relied on."""

_CHOSEN = ("top", "random", "both")
_STRONGEST = 10  # rows
_NAMED = 5  # cells that the repr lists


@dataclass(frozen=True, eq=False, repr=False)
class AttributionResult(RunsResult):
    """First-order effects of patching heads or neurons one by one, on the logit of right minus wrong answer.

    The estimate of a cell (layer, unit, span) is the gap between the source's and the target's activation
    times the gradient in the target's run: the first term of what patching that unit alone there adds. Its
    mean is over the pairs of a language, then over languages, all alike.

    Attributes:
        languages: Codes of the languages asked.
        fact_ids: All facts that were looked at.
        groups: Cluster of each fact.
        mode: ``within``, ``across`` or ``checkpoints``.
        sources: Source languages (across); otherwise empty.
        unit: ``heads`` (query heads) or ``neurons``.
        positions: Names of the spans.
        metrics: The logit difference alone.
        left_out: See `RunsResult`.
        clean: See `RunsResult`.
        corrupt: See `RunsResult`.
        counts: Pairs with a source (0) and with a control (1), per language and block of facts.
        sums: Their estimates, in logits: with the activations of the fact's own source, and of an unrelated
            fact.
        cells: Layer, unit and position of what was patched for real: the largest estimates, then random
            others.
        top: How many of the cells are the largest.
        estimated: Their estimates; NaN where a fact has no pair.
        effects: What patching them added to the logit difference.
        provenance: Where it comes from.

    The largest are chosen by the same facts that they are verified on, so their estimates lean away from
    zero. A unit whose estimate is near zero though it matters (a gradient that vanishes where it saturates)
    is only seen among the random cells.

    Source: Nanda (2023), Attribution Patching; Syed, Rager & Conmy (2024), Attribution Patching Outperforms
    Automated Circuit Discovery. The control, the blocks and the verification are ours.
    """

    languages: tuple[str, ...]
    fact_ids: tuple[str, ...]
    groups: tuple[str, ...]
    mode: str
    sources: tuple[str, ...]
    unit: str
    positions: tuple[str, ...]
    metrics: tuple[str, ...]
    left_out: Int[np.ndarray, "fact language"]
    clean: Float[np.ndarray, "fact language metric"]
    corrupt: Float[np.ndarray, "fact language metric"]
    counts: Int[np.ndarray, "run language block position"]
    sums: Float[np.ndarray, "run language block layer unit position"]
    cells: Int[np.ndarray, "cell 3"]
    top: int
    estimated: Float[np.ndarray, "fact language cell"]
    effects: Float[np.ndarray, "fact language cell"]
    provenance: Provenance

    kind: ClassVar[str] = "attribution"
    _of_pairs: ClassVar[tuple[str, ...]] = ("estimated", "effects")

    def estimates(self, language: str = "", *, control: bool = False) -> Jackknife:
        """Mean estimate of each cell, ``[layer, unit, position]``, in logits, with jackknife replicates.

        Args:
            language: One language; by default the mean over all.
            control: With the activations of an unrelated fact: the noise floor.

        Raises:
            ResultError: The language is unknown.
        """
        here = self._languages(language)
        sums, counts = self.sums[int(control), here], self.counts[int(control), here]
        used = np.flatnonzero(counts.any(axis=(0, 2)))
        replicates = [
            mean_estimates(np.delete(sums, b, axis=1), np.delete(counts, b, axis=1)) for b in used.tolist()
        ]
        plug_in = mean_estimates(sums, counts)
        return Jackknife(plug_in, np.stack(replicates) if replicates else np.zeros((0, *plug_in.shape)))

    def to_frame(self, language: str = "") -> pd.DataFrame:
        """One row per cell: layer, unit, position, n pairs, estimate and floor (logits), 95 % intervals.

        ``n_clusters`` is the number of blocks of facts that the intervals are over.
        """
        import pandas as pd

        layer, unit, position = np.indices(self.sums.shape[3:])
        counts = self.counts[0, self._languages(language)]
        columns = {
            "layer": layer.ravel(),
            "unit": unit.ravel(),
            "position": np.array(self.positions)[position.ravel()],
            "n": counts.sum(axis=(0, 1))[position.ravel()],
            "n_clusters": int(counts.any(axis=(0, 2)).sum()),
        }
        for name, control in (("estimate", False), ("floor", True)):
            estimates = self.estimates(language, control=control)
            prefix = "" if name == "estimate" else f"{name}_"
            columns[name] = estimates.plug_in.ravel()
            low, high = estimates.plug_in_interval()
            columns |= {f"{prefix}low": low.ravel(), f"{prefix}high": high.ravel()}
        return pd.DataFrame(columns)

    def largest(self, n: int = 10, language: str = "") -> pd.DataFrame:
        """The rows of `to_frame` with the largest absolute estimates."""
        table = self.to_frame(language)
        order = np.argsort(-table.estimate.abs().to_numpy(), kind="stable")[:n]
        return table.iloc[order].dropna(subset="estimate").reset_index(drop=True)

    def by_layer(self) -> pd.DataFrame:
        """One row per position and layer: ``n`` pairs, sums of |estimate| and |floor| (logits)."""
        table = self.to_frame().assign(estimate=lambda t: t.estimate.abs(), floor=lambda t: t.floor.abs())
        summed = table.groupby(["position", "layer"], sort=False, as_index=False)
        return summed.agg({"n": "first", "n_clusters": "first", "estimate": "sum", "floor": "sum"})

    def peaks(self) -> Float[np.ndarray, " position"]:
        """Largest absolute estimate at each position, logits; 0 where there is none."""
        return np.nan_to_num(np.abs(self.estimates().plug_in)).max(axis=(0, 1), initial=0.0)

    def verified(self, language: str = "") -> pd.DataFrame:
        """One row per cell that was patched for real.

        Columns: layer, unit, position, ``chosen`` (``top`` or ``random``), ``n`` pairs in ``n_clusters``,
        ``estimate``, and the true ``effect`` with its 95 % interval ``low`` to ``high`` over clusters, all in
        logits.
        """
        import pandas as pd

        estimated, effects = self._means(language)
        n = (~np.isnan(self.effects[:, self._languages(language)])).sum(axis=(0, 1))
        return pd.DataFrame(
            {
                "layer": self.cells[:, 0],
                "unit": self.cells[:, 1],
                "position": np.array(self.positions)[self.cells[:, 2]],
                "chosen": np.where(np.arange(len(self.cells)) < self.top, "top", "random"),
                "n": n,
                "n_clusters": effects.n_clusters,
                "estimate": estimated.all[0],
                **effects.estimate(n).columns("effect", counts=False),
            }
        )

    def correlation(self, language: str = "") -> pd.DataFrame:
        """How well estimates predict effects over the ``top`` cells, the ``random`` ones, and ``both``.

        Columns: ``n`` cells; ``pearson`` and ``spearman`` with 95 % intervals (``pearson_low``, ...) over
        ``n_clusters``, the cells as they are; ``slope``: the true effect per estimated logit (least squares
        through zero).
        """
        import pandas as pd

        estimated, effects = self._means(language)
        rows = []
        for name, cells in zip(_CHOSEN, (slice(self.top), slice(self.top, None), slice(None)), strict=True):
            row: dict[str, Any] = {"cells": name}
            for kind in ("pearson", "spearman"):
                correlations = correlate(estimated, effects, cells, ranks=kind == "spearman")
                row |= correlations.columns(kind, f"{kind}_")
            rows.append({**row, "slope": slope(estimated.all[0, cells], effects.all[0, cells])})
        return pd.DataFrame(rows)

    def low_correlation(self) -> str:
        """Why the estimates are not to be relied on, by the verified cells; empty if they are, or have none.

        They are when Pearson's correlation over all verified cells is at least 0.8 and its interval does not
        reach below 0.5.
        """
        if not len(self.cells):
            return ""
        both = self.correlation().iloc[-1]
        if both.pearson >= HIGH_ENOUGH[0] and both.pearson_low >= HIGH_ENOUGH[1]:
            return ""
        return (
            f"Estimates and true effects of {both.n} patched cells have a correlation of {both.pearson:.2f} "
            f"[{both.pearson_low:.2f}, {both.pearson_high:.2f}]; at least {HIGH_ENOUGH[0]} is expected, and "
            f"an interval that stays above {HIGH_ENOUGH[1]}. Do not rely on the estimates: patch for real, "
            "or ask more facts."
        )

    def quantities(self) -> dict[str, Float[np.ndarray, " fact"]]:
        """Clean and corrupt logit difference of every fact, and what its verified cells do.

        Of the top and the random cells, the mean estimate and the mean true effect, each cell counted in the
        direction of its own mean estimate. Which cells are on top is each checkpoint's own.
        """
        per_fact = {
            f"{name} logit_diff": known_mean(self.of_metric(getattr(self, name), "logit_diff"), axis=1)
            for name in ("clean", "corrupt")
        }
        towards = np.sign(self._means("")[0].all[0])
        for name, cells in (("top", slice(self.top)), ("random", slice(self.top, None))):
            if len(towards[cells]):
                for what, values in (("estimate", self.estimated), ("true effect", self.effects)):
                    each = values[:, :, cells].astype(np.float64) * towards[cells]
                    per_fact[f"{what} of the {name} {self.unit}"] = known_mean(
                        each.reshape(len(each), -1), axis=1
                    )
        return per_fact

    def strongest(self) -> pd.DataFrame:
        """The rows with the largest absolute estimates, and the true ``effect`` where patched."""
        effects = self.verified()[["layer", "unit", "position", "effect", "low", "high"]]
        effects = effects.rename(columns={"low": "effect_low", "high": "effect_high"})
        effects = effects.drop_duplicates(["layer", "unit", "position"])
        return self.largest(_STRONGEST).merge(effects, how="left", on=["layer", "unit", "position"])

    def name_of(self, layer: int, unit: int, position: str) -> str:
        """What to call a cell."""
        return f"{self.unit.removesuffix('s')} {layer}.{unit} {position}"

    def diagnostics(self) -> list[str]:
        """What makes the result doubtful, in words; empty if nothing does."""
        gap = known_mean(self.gap("logit_diff"), axis=1)
        diagnostics = [self.low_correlation()] if self.low_correlation() else []
        diagnostics += self.few_clusters(~np.isnan(gap))
        if not known_mean(gap) > 0:
            diagnostics.append(
                "Clean runs are not better than corrupt ones by logit_diff (mean difference "
                f"{known_mean(gap):.3g}), so there is nothing to recover."
            )
        if not self.counts[1].any():
            diagnostics.append("No unrelated fact could serve as a control, so there is no noise floor.")
        return diagnostics

    def __repr__(self) -> str:
        counts = self.reasons().sum()
        left = ", ".join(f"{counts[reason]} {reason}" for reason in LEFT_OUT[1:] if counts[reason])
        lines = [
            f"AttributionResult of {self.provenance.checkpoint or 'a model'}: {self.unit} {self.mode} "
            f"{'from ' + ','.join(self.sources) + ' ' if self.sources else ''}in {','.join(self.languages)}; "
            f"{counts['used']} pairs of {len(self.fact_ids)} facts{f' (left out: {left})' if left else ''}"
        ]
        for row in self.largest(_NAMED).itertuples():
            lines.append(
                f"  {self.name_of(row.layer, row.unit, row.position):<28} {row.estimate:+.3f} logits "
                f"[{row.low:+.3f}, {row.high:+.3f}] estimated; by an unrelated fact {row.floor:+.3f}"
            )
        if not len(self.cells):
            return "\n".join([*lines, "  not verified"])
        for row in self.correlation().itertuples():
            if row.cells == "both" or not np.isnan(row.pearson):
                lines.append(
                    f"  verified on {row.n} {'cells' if row.cells == 'both' else row.cells + ' cells'}: "
                    f"correlation {row.pearson:.3f} [{row.pearson_low:.3f}, {row.pearson_high:.3f}], slope "
                    f"{row.slope:.2f}"
                )
        return "\n".join(lines)

    @cached_property
    def _every(self) -> tuple[CellMeans, CellMeans]:
        return self._means_of(slice(None))

    def _means(self, language: str) -> tuple[CellMeans, CellMeans]:
        """Estimates and effects of the verified cells, paired by cluster."""
        return self._means_of(self._languages(language)) if language else self._every

    def _means_of(self, here: slice) -> tuple[CellMeans, CellMeans]:
        estimated, effects = (cell_means(v[:, here], self.groups) for v in (self.estimated, self.effects))
        return estimated, effects

    def _languages(self, language: str) -> slice:
        if language and language not in self.languages:
            raise ResultError(
                f"No language '{language}' in this result; there is: {', '.join(self.languages)}."
            )
        at = self.languages.index(language) if language else 0
        return slice(at, at + 1) if language else slice(None)
