"""Verify estimates: patch the cells with the largest ones and random others, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from interp.measure.patching.branching import Cell
from interp.measure.patching.estimates import Estimates
from interp.measure.patching.protocol import PatchingPairs
from interp.measure.patching.runs import Run, Runs
from interp.model.loading import LoadedModel
from interp.model.sites import SITES_OF, Site

__all__ = ["SEED", "Verified", "cells_to_verify"]

SEED = 0
"""Of the cells that are drawn at random."""


def cells_to_verify(
    estimates: Float[np.ndarray, "layer unit position"], verify: int, seed: int = SEED
) -> tuple[Int[np.ndarray, "top 3"], Int[np.ndarray, "other 3"]]:
    """The cells with the largest absolute estimates, and as many random others, in order."""
    flat = np.abs(estimates).ravel()
    ranked = np.argsort(-flat, kind="stable")
    ranked = ranked[~np.isnan(flat[ranked])]
    top, rest = ranked[:verify], np.sort(ranked[verify:])
    others = np.sort(np.random.default_rng(seed).permutation(rest)[:verify])
    one, other = (np.stack(np.unravel_index(cells, estimates.shape), axis=1) for cells in (top, others))
    return one, other


class Verified:
    """Measured and estimated effects of some cells, per pair.

    Attributes:
        runs: The patched runs.
        estimated: Estimate of each cell; NaN where it was not reached.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        source: LoadedModel | None,
        paired: PatchingPairs,
        unit: str,
        cells: Int[np.ndarray, "cell 3"],
    ):
        self.loaded, self.source, self.cells, self.spans = loaded, source or loaded, cells, paired.spans
        self.site = SITES_OF[unit]
        pairs = [replace(pair, controls=()) for pair in paired.pairs]
        patched = [
            Cell(self.site, layer, paired.spans[span], (number,)) for layer, number, span in cells.tolist()
        ]
        self.runs = Runs(loaded, pairs, patched, source=source)
        self.estimated = np.full((len(pairs), len(cells)), np.nan, dtype=np.float32)

    def add(self, rows: Sequence[Run]) -> None:
        """Patch a batch of runs, and estimate its new pairs: all of it, or nothing if it raises."""
        new = sorted({row.pair for row in rows if np.isnan(self.estimated[row.pair, row.cell])})
        estimated = self._estimates(new) if new else np.zeros((0, len(self.cells)), dtype=np.float32)
        self.runs.add(rows)
        self.estimated[new] = estimated

    def effects(self) -> Float[np.ndarray, "pair cell"]:
        """What each cell added to the logit difference when it was patched."""
        return self.runs.patched[:, 0, :, 0] - self.runs.corrupt[:, None, 0]

    def state(self) -> dict[str, np.ndarray]:
        """Everything so far."""
        return {**self.runs.state(), "estimated": self.estimated}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        self.runs.restore(state)
        self.estimated[:] = state["estimated"]

    def _estimates(self, numbers: Sequence[int]) -> Float[np.ndarray, "pair cell"]:
        pairs, n_spans = [self.runs.pairs[i] for i in numbers], len(self.spans)
        sites = [Site(self.site, layer) for layer in sorted(set(self.cells[:, 0].tolist()))]
        estimates = Estimates(self.loaded, self.source, pairs, self.spans, sites)
        rows = estimates.pair * n_spans + estimates.span
        of_cells = np.full((len(pairs), len(self.cells)), np.nan, dtype=np.float32)
        for site in sites:
            here = np.flatnonzero(self.cells[:, 0] == site.layer)
            values = estimates.summed(site, rows, len(pairs) * n_spans).reshape(len(pairs), n_spans, -1)
            of_cells[:, here] = values[:, self.cells[here, 2], self.cells[here, 1]]
        there = np.array([[pair.target.has(span) for span in self.spans] for pair in pairs])
        return np.where(there[:, self.cells[:, 2]], of_cells, np.nan).astype(np.float32)
