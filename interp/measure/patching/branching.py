"""A batch that branches: each patched row joins it at the first layer where it differs from its target.

The first rows are the targets, unpatched. A patched row is copied from its target when its own layer is
entered, so the layers before are run once for all. The decoder itself runs the pass, so masks, rotations and
norms are its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from interp.measure.patching.activations import Positions
from interp.measure.patching.positions import ScoredPrompt, Span
from interp.measure.patching.prefix import SharedPrefix
from interp.model.hooks import editing
from interp.model.sites import Architecture, Site

__all__ = ["BranchingBatch", "Cell", "Patch"]

_RESIDUAL = ("resid_pre", "resid_post")


@dataclass(frozen=True)
class Cell:
    """What one patch overwrites.

    Attributes:
        site: Name of the site.
        layer: Its layer.
        span: Which positions.
        units: Which heads or neurons; all when empty.
        onward: Whether the same site of every later layer is overwritten too.
    """

    site: str
    layer: int
    span: Span
    units: tuple[int, ...] = ()
    onward: bool = False

    def sites(self, n_layers: int) -> list[Site]:
        """Every site that is overwritten."""
        last = n_layers if self.onward else self.layer + 1
        return [Site(self.site, layer) for layer in range(self.layer, last)]


@dataclass(frozen=True)
class Patch:
    """One row: which target, what is overwritten, and by which segments of the activations."""

    target: int
    cell: Cell
    segments: range

    @property
    def entry(self) -> int:
        """The layer at whose entry the row leaves its target."""
        return self.cell.layer + (self.cell.site == "resid_post")


class BranchingBatch:
    """The rows of a batch that grows from layer to layer, and what is overwritten in them."""

    def __init__(
        self,
        architecture: Architecture,
        targets: Sequence[ScoredPrompt],
        patches: Sequence[Patch],
        activations: Mapping[Site, torch.Tensor],
        start: int,
        prefix: SharedPrefix | None,
    ):
        self.architecture = architecture
        self.targets, self.patches = targets, patches
        self.activations, self.start, self.prefix = activations, start, prefix
        self.owners = torch.tensor([*range(len(targets)), *(p.target for p in patches)])
        self.prompts = [*targets, *(targets[p.target] for p in patches)]
        self.joined = len(targets)
        self.ranks: dict[Site, list[int]] = {}
        for rank, patch in enumerate(patches):
            for site in patch.cell.sites(self.architecture.n_layers):
                self.ranks.setdefault(site, []).append(rank)

    @contextmanager
    def branching(self) -> Iterator[None]:
        """Let the rows join and overwrite them while the context is open."""
        inner = {s: self._edited for s in self.ranks if s.name not in _RESIDUAL}
        with ExitStack() as stack:
            for index, layer in enumerate(self.architecture.layers):
                handle = layer.register_forward_pre_hook(self._entering(index), with_kwargs=True)
                stack.callback(handle.remove)
            last = self.architecture.layers[-1].register_forward_hook(self._left)
            stack.callback(last.remove)
            if self._reads_the_end_only():
                stack.enter_context(self._short_last_mlp())
            stack.enter_context(editing(self.architecture, inner))
            yield

    def _reads_the_end_only(self) -> bool:
        """Whether nothing is overwritten in or after the last MLP, so that most of its output is unused."""
        last = self.architecture.n_layers - 1
        within = {"mlp_gate", "mlp_neuron", "mlp_out", "resid_post"}
        alone = self.architecture.mlp(last) is not None
        return alone and not any(site.layer == last and site.name in within for site in self.ranks)

    @contextmanager
    def _short_last_mlp(self) -> Iterator[None]:
        """Run the last MLP at the scored positions alone; elsewhere it adds zero, which nothing reads."""
        last_mlp = self.architecture.mlp(self.architecture.n_layers - 1)
        assert last_mlp is not None
        longest = max(len(p.answer) for p in self.prompts)
        first = torch.tensor([len(p.ids) - 1 - self.start for p in self.prompts]).unsqueeze(1)
        end = torch.tensor([len(p.tokens) - 1 - self.start for p in self.prompts]).unsqueeze(1)
        at = (first + torch.arange(longest)).minimum(end)
        rows = torch.arange(len(self.prompts)).unsqueeze(1)
        full: list[torch.Size] = []

        def shorten(module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            full[:] = [args[0].shape]
            return (args[0][rows[: self.joined], at[: self.joined]], *args[1:])

        def restore(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
            whole = output.new_zeros(full[0])
            whole[rows[: self.joined], at[: self.joined]] = output
            return whole

        with ExitStack() as stack:
            stack.callback(last_mlp.register_forward_pre_hook(shorten).remove)
            stack.callback(last_mlp.register_forward_hook(restore).remove)
            yield

    def _entering(self, layer: int) -> Any:
        def enter(
            module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            hidden = self._join(args[0] if args else kwargs["hidden_states"], layer)
            named = {k: self._of_rows(v) for k, v in kwargs.items()}
            if self.prefix is not None:
                self.prefix.owners = self.owners[: self.joined]
            if args:
                return (hidden, *(self._of_rows(a) for a in args[1:])), named
            return args, {**named, "hidden_states": hidden}

        return enter

    def _left(self, module: Any, args: Any, output: Any) -> Any:
        after = self.architecture.n_layers
        if isinstance(output, tuple):  # some families still return a tuple from a layer
            return (self._join(output[0], after), *output[1:])
        return self._join(output, after)

    def _join(self, hidden: torch.Tensor, layer: int) -> torch.Tensor:
        """Rows that leave their targets here, and what is overwritten between two layers."""
        waiting = self.patches[self.joined - len(self.targets) :]
        new = sum(1 for patch in waiting if patch.entry <= layer)
        owners = self.owners[self.joined : self.joined + new].to(hidden.device)
        here = [s for s in (Site("resid_pre", layer), Site("resid_post", layer - 1)) if s in self.ranks]
        if new or here:
            hidden = torch.cat([hidden, hidden[owners]])
            self.joined += new
        for site in here:
            self._overwrite(hidden, site)
        return hidden

    def _of_rows(self, value: Any) -> Any:
        """An argument of a layer for the rows that there are now."""
        n, n_heads = len(self.targets), self.architecture.n_heads
        if isinstance(value, tuple):
            return tuple(map(self._of_rows, value))
        if isinstance(value, torch.Tensor) and value.ndim == 3 and n < len(value) == n * n_heads:
            owners = self.owners[: self.joined].to(value.device)
            return value.unflatten(0, (n, n_heads))[owners].flatten(0, 1)  # ALiBi: a slope per head
        if (
            isinstance(value, torch.Tensor)
            and value.ndim >= 2
            and len(value) == n
            and (n > 1 or value.ndim == 2)
        ):
            return value[self.owners[: self.joined].to(value.device)]
        return value

    def _edited(self, value: torch.Tensor, site: Site) -> torch.Tensor:
        value = value.clone()
        self._overwrite(value, site)
        return value

    def _overwrite(self, value: torch.Tensor, site: Site) -> None:
        places: list[tuple[int, int, int, float]] = []
        sources: list[int] = []
        units: list[tuple[int, ...]] = []
        for rank in self.ranks[site]:
            patch = self.patches[rank]
            for segment, at in zip(
                patch.segments, self.targets[patch.target].segments(patch.cell.span), strict=True
            ):
                row = len(self.targets) + rank
                places += [(row, position - self.start, len(sources), 1 / len(at)) for position in at]
                sources.append(segment)
                units.append(patch.cell.units)
        positions = Positions.of(places, value.device)
        source = self.activations[site].to(value.device)[torch.tensor(sources, device=value.device)]
        new = source[positions.segments]
        current = value[positions.rows, positions.positions].float()
        several = (positions.weights < 1).view(-1, *[1] * (new.ndim - 1))
        if several.any():
            new = torch.where(several, current + new - positions.mean(value)[positions.segments], new)
        if any(units):
            new = torch.where(_mask(units, new)[positions.segments], new, current)
        value[positions.rows, positions.positions] = new.to(value.dtype)


def _mask(units: Sequence[tuple[int, ...]], like: torch.Tensor) -> torch.Tensor:
    """Which units of each segment are overwritten."""
    mask = torch.zeros(len(units), like.shape[1], dtype=torch.bool, device=like.device)
    for segment, numbers in enumerate(units):
        mask[segment, list(numbers) if numbers else slice(None)] = True
    return mask.view(*mask.shape, *[1] * (like.ndim - 2))
