"""All patched runs of all pairs: which share a forward pass, and the metrics of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from interp.errors import MeasurementError
from interp.measure.patching.activations import read_segments
from interp.measure.patching.branching import Cell, Patch
from interp.measure.patching.pairs import Pair
from interp.measure.patching.positions import Span
from interp.measure.patching.sweep import Targets
from interp.model.loading import LoadedModel
from interp.model.sites import Site
from interp.model.tokens import make_batches

__all__ = ["Run", "Runs"]


class Run(NamedTuple):
    """One patched run: number of the pair, whether the control gives the activations, number of the cell."""

    pair: int
    control: bool
    cell: int


class Runs:
    """Metrics of the patched runs so far: a `interp.measure.passes.Resumable`.

    Attributes:
        clean: Metrics of each pair's source.
        corrupt: Metrics of each pair's target, unpatched.
        patched: Metrics of each pair's runs: by its source (0) or its control (1), per cell.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        pairs: Sequence[Pair],
        cells: Sequence[Cell],
        *,
        source: LoadedModel | None = None,
    ):
        self.loaded, self.source = loaded, source or loaded
        self.pairs, self.cells = pairs, cells
        metrics = 3 + len(pairs[0].target.first)
        self.clean, self.corrupt = np.full((2, len(pairs), metrics), np.nan, dtype=np.float32)
        self.patched = np.full((len(pairs), 2, len(cells), metrics), np.nan, dtype=np.float32)
        self._held: tuple[int, ...] = ()

    def batches(self, batch_tokens: int, *, controls: bool = True) -> Iterator[tuple[Run, ...]]:
        """Yield runs that fit into one pass: pairs of similar length, and rows that start late together."""
        lengths = [len(pair.target.tokens) for pair in self.pairs]
        per_pair = (1 + controls) * len(self.cells)
        for group in make_batches(range(len(lengths)), batch_tokens, lambda i: per_pair * lengths[i]):
            rows = [row for i in group for row in self._rows(i, controls)]
            after = {
                row: lengths[group[0]] - self._start(row) for row in rows
            }  # tokens from its first patch on
            yield from make_batches(rows, batch_tokens, after.__getitem__)

    def add(self, rows: Sequence[Run]) -> None:
        """Run a batch: all of it, or nothing if it raises.

        Raises:
            MeasurementError: A metric is not finite.
        """
        pairs = tuple(sorted({row.pair for row in rows}))
        if pairs != self._held:  # never a larger set, so that a resumed run gives the same bits
            self._prepare(pairs)
        number = {pair: i for i, pair in enumerate(self._held)}
        patches = []
        for row in rows:
            cell = self.cells[row.cell]
            segments = self._segments[number[row.pair], row.control][cell.span]
            patches.append(Patch(number[row.pair], cell, segments))
        scores = self._targets.sweep(patches, self._activations).cpu().numpy()
        self._require_finite(scores, [row.pair for row in rows])
        for row, values in zip(rows, scores, strict=True):
            self.patched[row.pair, int(row.control), row.cell] = values

    def describe(self, row: Run) -> str:
        """What to call a run that does not fit into memory."""
        target = self.pairs[row.pair].target
        return f"A patched run of {target.label} ({len(target.tokens)} tokens)"

    def state(self) -> dict[str, np.ndarray]:
        """Everything so far."""
        return {"clean": self.clean, "corrupt": self.corrupt, "patched": self.patched}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        for name, values in self.state().items():
            values[:] = state[name]

    def _rows(self, pair: int, controls: bool) -> Iterator[Run]:
        for number, cell in enumerate(self.cells):
            if not self.pairs[pair].target.has(cell.span):
                continue
            yield Run(pair, False, number)
            if controls and self.pairs[pair].controls:
                yield Run(pair, True, number)

    def _start(self, row: Run) -> int:
        return min(map(min, self.pairs[row.pair].target.segments(self.cells[row.cell].span)))

    def _prepare(self, pairs: tuple[int, ...]) -> None:
        """Run the targets and the sources of some pairs, and hold what their patches need."""
        self._held, self._segments = (), {}
        held = [self.pairs[i] for i in pairs]
        self._targets = Targets(self.loaded, [pair.target for pair in held])
        keys = [(i, False) for i in range(len(held))] + [(i, True) for i, p in enumerate(held) if p.controls]
        groups = [held[i].controls if control else held[i].sources for i, control in keys]
        spans = [[span for span in self._spans() if held[i].target.has(span)] for i, _ in keys]
        activations, where, clean = read_segments(self.source, groups, spans, self._sites())
        self._activations = {site: value.to(self.loaded.device) for site, value in activations.items()}
        self._segments = dict(zip(keys, where, strict=True))
        scores = clean[: len(held)].cpu().numpy(), self._targets.scores.cpu().numpy()
        for values in scores:
            self._require_finite(values, pairs)
        self.clean[list(pairs)], self.corrupt[list(pairs)] = scores
        self._held = pairs

    def _spans(self) -> list[Span]:
        return list(dict.fromkeys(cell.span for cell in self.cells))

    def _sites(self) -> list[Site]:
        n = self.loaded.architecture.n_layers
        return list(dict.fromkeys(site for cell in self.cells for site in cell.sites(n)))

    def _require_finite(self, values: np.ndarray, pairs: Sequence[int]) -> None:
        bad = ~np.isfinite(values[:, :3]).all(axis=1)
        if bad.any():
            target = self.pairs[pairs[int(bad.argmax())]].target
            dtype = str(self.loaded.model.dtype).removeprefix("torch.")
            raise MeasurementError(
                f"A patched run of {target.label} is not finite. The model runs in {dtype}; try --dtype "
                "float32, and check the weights."
            )
