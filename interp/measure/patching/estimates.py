"""The first-order effect of a patch: the difference of two runs' activations times the gradient.

One forward pass of the sources and controls, of which the segments of the spans are kept, and one forward and
backward pass of the targets, whatever the number of layers, units and spans.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from interp.errors import MeasurementError
from interp.measure.gradients import reduced_gradients
from interp.measure.patching.activations import Positions, read_segments
from interp.measure.patching.pairs import Pair
from interp.measure.patching.positions import Span
from interp.measure.patching.readout import readout
from interp.model.loading import LoadedModel
from interp.model.sites import Site

__all__ = ["Estimates"]


class Estimates:
    """First-order effects on the logit difference of patching every unit of some sites, span by span.

    A patch moves the places of a segment by d = (source's activation) - (target's), the means where there are
    several; so its first-order effect is the sum over segments of d . (sum of the gradients over the
    segment's places), here for each unit. Gradients are those of the target's run, unpatched.

    Attributes:
        pair: Of each segment, the number of its pair.
        span: Of each segment, the number of its span.
        controlled: Of each segment, whether its pair has a control.
        clean: Logit difference of each pair's source.
        corrupt: Logit difference of each pair's target.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        source: LoadedModel,
        pairs: Sequence[Pair],
        spans: Sequence[Span],
        sites: Sequence[Site],
    ):
        """Run sources, controls and targets.

        Raises:
            MeasurementError: An activation or a gradient is not finite; names the pair.
        """
        keys = [(i, False) for i in range(len(pairs))] + [
            (i, True) for i, p in enumerate(pairs) if p.controls
        ]
        groups = [pairs[i].controls if control else pairs[i].sources for i, control in keys]
        there = [[span for span in spans if pair.target.has(span)] for pair in pairs]
        self._given, where, scores = read_segments(source, groups, [there[i] for i, _ in keys], sites)
        segments = dict(zip(keys, where, strict=True))
        places: list[tuple[int, int, int, float]] = []
        owners: list[tuple[int, int]] = []
        from_run: tuple[list[int], list[int]] = ([], [])
        for i, pair in enumerate(pairs):
            for span in there[i]:
                for number, at in enumerate(pair.target.segments(span)):
                    places += [(i, position, len(owners), 1 / len(at)) for position in at]
                    owners.append((i, spans.index(span)))
                    for control, sources in enumerate(from_run):
                        sources.append(
                            segments[i, bool(control)][span][number] if (i, bool(control)) in segments else -1
                        )
        self.pair, self.span = np.array(owners, dtype=np.int64).reshape(-1, 2).T
        self._from = torch.tensor(from_run)
        self.controlled: Bool[np.ndarray, " segment"] = (self._from[1] >= 0).numpy()
        self._reduced, corrupt = _reduce(loaded, pairs, Positions.of(places, loaded.device), sites)
        self.clean: Float[np.ndarray, " pair"] = scores[: len(pairs), 0].cpu().numpy()
        self.corrupt: Float[np.ndarray, " pair"] = corrupt.cpu().numpy()
        self._require_finite(loaded, pairs)

    def summed(
        self, site: Site, rows: Int[np.ndarray, " segment"], n_rows: int, *, control: bool = False
    ) -> Float[np.ndarray, "row unit"]:
        """The estimates of a site's units, in logits, added up over the segments of each row.

        Args:
            site: Which site.
            rows: Row of each segment.
            n_rows: How many rows.
            control: With the controls' activations; a segment without one adds nothing.
        """
        here, gradient = self._reduced[site]
        given = self._given[site].to(here.device)[self._from[int(control)].clamp(min=0).to(here.device)]
        each = (given - here) * gradient
        each = each.sum(dim=-1) if each.ndim == 3 else each  # a head's dimensions
        weights = torch.zeros(n_rows, len(rows))
        used = self.controlled if control else np.ones_like(self.controlled)
        weights[rows[used], np.flatnonzero(used)] = 1
        return (weights.to(each.device) @ each).cpu().numpy()

    def _require_finite(self, loaded: LoadedModel, pairs: Sequence[Pair]) -> None:
        bad = torch.zeros(len(pairs), dtype=torch.bool)
        bad |= ~torch.from_numpy(np.isfinite(self.clean) & np.isfinite(self.corrupt))
        for site, tensors in self._reduced.items():
            fine = torch.stack([torch.isfinite(t).flatten(1).all(dim=1) for t in tensors]).all(dim=0).cpu()
            read = torch.isfinite(self._given[site]).flatten(1).all(dim=1).cpu()
            for start in self._from:
                fine = fine & (read[start.clamp(min=0)] | (start < 0))
            bad[torch.from_numpy(self.pair)[~fine]] = True
        if bad.any():
            label = pairs[int(bad.int().argmax())].target.label
            dtype = str(loaded.model.dtype).removeprefix("torch.")
            raise MeasurementError(
                f"The estimates of {label} are not finite. The model runs in {dtype}; try --dtype float32, "
                "and check the weights."
            )


def _reduce(
    loaded: LoadedModel, pairs: Sequence[Pair], positions: Positions, sites: Sequence[Site]
) -> tuple[
    dict[Site, tuple[Float[torch.Tensor, " segment *axes"], Float[torch.Tensor, " segment *axes"]]],
    Float[torch.Tensor, " pair"],
]:
    """Per site the targets' mean activation and summed gradient of every segment; logit differences."""
    targets = [pair.target for pair in pairs]
    ids, mask = loaded.pad_rows([target.tokens for target in targets])
    scores: list[torch.Tensor] = []

    def metric(hidden: torch.Tensor) -> torch.Tensor:
        difference = readout(loaded, hidden, targets)[:, 0]
        scores.append(difference.detach())
        return difference

    def take(value: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        here = positions.to(value.device)
        return here.mean(value), here.total(gradient)

    inputs = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    return reduced_gradients(loaded, inputs, sites, metric, take), scores[0]
