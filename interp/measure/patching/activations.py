"""Activations to patch in: one forward pass of the source prompts, reduced to the segments of the spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float

from interp.measure.patching.positions import ScoredPrompt, Span
from interp.measure.patching.readout import readout
from interp.model.hooks import reading
from interp.model.loading import LoadedModel
from interp.model.sites import Site

__all__ = ["Positions", "read_segments"]


@dataclass(frozen=True)
class Positions:
    """Places in a batch, grouped into segments; a segment's activation is the weighted sum over its places.

    Attributes:
        rows: Row of each place.
        positions: Position of each place.
        segments: Segment of each place.
        weights: Weight of each place; those of a segment add up to 1.
        n: Number of segments.
    """

    rows: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    weights: torch.Tensor
    n: int

    @classmethod
    def of(cls, places: Sequence[tuple[int, int, int, float]], device: torch.device) -> Positions:
        """Places as (row, position, segment, weight), segments counted from 0 without a gap."""
        columns = list(zip(*places, strict=True)) or [(), (), (), ()]
        rows, positions, segments = (torch.tensor(c, dtype=torch.long, device=device) for c in columns[:3])
        weights = torch.tensor(columns[3], dtype=torch.float32, device=device)
        return cls(rows, positions, segments, weights, max(columns[2], default=-1) + 1)

    def to(self, device: torch.device) -> Positions:
        """The same places on another device."""
        rows, positions, segments, weights = (
            t.to(device) for t in (self.rows, self.positions, self.segments, self.weights)
        )
        return Positions(rows, positions, segments, weights, self.n)

    def mean(self, value: torch.Tensor) -> Float[torch.Tensor, " segment *axes"]:
        """The activation of each segment, in float32."""
        return self._sum(value, self.weights)

    def total(self, value: torch.Tensor) -> Float[torch.Tensor, " segment *axes"]:
        """The sum over each segment, in float32."""
        return self._sum(value, torch.ones_like(self.weights))

    def _sum(self, value: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        here = value[self.rows, self.positions].float()
        each = here * weights.view(-1, *[1] * (here.ndim - 1))
        return torch.zeros(self.n, *here.shape[1:], device=each.device).index_add(0, self.segments, each)


@torch.no_grad()
def read_segments(
    loaded: LoadedModel,
    groups: Sequence[tuple[ScoredPrompt, ...]],
    spans: Sequence[Sequence[Span]],
    sites: Sequence[Site],
) -> tuple[
    dict[Site, Float[torch.Tensor, "segment ..."]],
    list[dict[Span, range]],
    Float[torch.Tensor, "group metric"],
]:
    """Read the activations of the spans of some prompts.

    Args:
        loaded: The model.
        groups: Prompts whose activations are averaged, segment by segment.
        spans: Which places, per group.
        sites: Which sites.

    Returns:
        The activations of all segments per site, the segments of each group's spans, and each group's mean
        metrics.
    """
    flat = [prompt for group in groups for prompt in group]
    places: list[tuple[int, int, int, float]] = []
    where: list[dict[Span, range]] = []
    row = total = 0
    for group, group_spans in zip(groups, spans, strict=True):
        where.append({})
        for span in group_spans:
            of_each = [prompt.segments(span) for prompt in group]
            where[-1][span] = range(total, total + len(of_each[0]))
            total += len(of_each[0])
            for number, segments in enumerate(of_each):
                for segment, at in zip(where[-1][span], segments, strict=True):
                    weight = 1 / (len(group) * len(at))
                    places += [(row + number, position, segment, weight) for position in at]
        row += len(group)
    ids, mask = loaded.pad_rows([prompt.tokens for prompt in flat])
    positions = Positions.of(places, ids.device)
    activations: dict[Site, torch.Tensor] = {}

    def keep(value: torch.Tensor, site: Site) -> None:
        activations[site] = positions.to(value.device).mean(value)

    with reading(loaded.architecture, dict.fromkeys(sites, keep)):
        hidden = loaded.architecture.body(
            input_ids=ids, attention_mask=mask, use_cache=False
        ).last_hidden_state
    owner = torch.tensor([i for i, group in enumerate(groups) for _ in group], device=hidden.device)
    scores = readout(loaded, hidden, flat)
    owner = owner.to(scores.device)
    each = torch.zeros(len(groups), scores.shape[1], device=scores.device).index_add(0, owner, scores)
    return activations, where, each / torch.bincount(owner).unsqueeze(1)
