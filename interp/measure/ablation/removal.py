"""Remove heads or neurons: set them to zero, or to what they are on average, on every token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int

from interp.data.prompts import PromptSet
from interp.measure.passes import require_finite, run_pass
from interp.model.experts import Routed
from interp.model.hooks import editing, reading
from interp.model.loading import LoadedModel
from interp.model.sites import SITES_OF, Architecture, Site
from interp.model.tokens import Batch, EncodedPrompts, length_sorted

__all__ = ["removed_units", "require_units", "unit_means"]

_BATCH = 4096


@contextmanager
def removed_units(
    loaded: LoadedModel,
    unit: str,
    units: Int[np.ndarray, " count"],
    means: Sequence[torch.Tensor] | None = None,
) -> Iterator[None]:
    """Set units to zero, or to their means, on every token while the context is open.

    Args:
        loaded: The model.
        unit: ``heads`` or ``neurons``.
        units: Which, as layer * units per layer + unit; none of them leaves the model as it is.
        means: Per layer, what each unit is set to: ``[neuron]`` or ``[head, d_head]``.
    """
    architecture = loaded.architecture
    per_layer = architecture.n_units(SITES_OF[unit])
    removed: dict[Site, torch.Tensor] = {}
    for layer in np.unique(units // per_layer).tolist():
        here = units[units // per_layer == layer] % per_layer
        for site, first, count in _parts(architecture, unit, layer):
            if (within := here[(first <= here) & (here < first + count)]).size:
                removed[site] = torch.from_numpy(within - first)

    def remove(value: torch.Tensor | Routed, site: Site) -> torch.Tensor:
        fill = 0.0 if means is None else means[site.layer][removed[site] + _first(architecture, unit, site)]
        if isinstance(value, Routed):
            return _without(value, removed[site], fill)
        changed = value.clone()
        changed[:, :, removed[site].to(value.device)] = fill.to(value) if torch.is_tensor(fill) else fill
        return changed

    with editing(architecture, dict.fromkeys(removed, remove)):
        yield


def require_units(architecture: Architecture, unit: str) -> None:
    """Raise CapabilityError unless every layer has such units that can be edited."""
    if unit == "neurons":
        architecture.require_neurons("neuron")
    else:
        architecture.require(SITES_OF[unit])


def unit_means(
    loaded: LoadedModel, prompts: PromptSet, unit: str, n_blocks: int, blocks: Sequence[int]
) -> list[Float[torch.Tensor, " unit *d_head"]]:
    """Per layer, the mean of each unit over the counted tokens of some blocks; languages weigh equally.

    Of an expert's neurons: over the tokens that are routed to it, in the languages that have some.
    """
    encoded = loaded.encode(prompts, n_blocks)
    items = [item for item in encoded.items if item.block in blocks]
    sums = _Sums(loaded, encoded, unit)
    run_pass(loaded, encoded, length_sorted(items, _BATCH), sums)
    return sums.means()


def _parts(architecture: Architecture, unit: str, layer: int) -> list[tuple[Site, int, int]]:
    """Where a layer's units are edited: sites, with the number of their first unit and how many there are."""
    if unit == "heads":
        return [(Site(SITES_OF[unit], layer), 0, architecture.n_heads)]
    return [(part.neuron, part.first, part.count) for part in architecture.neurons[layer]]


def _first(architecture: Architecture, unit: str, site: Site) -> int:
    return next(first for found, first, _ in _parts(architecture, unit, site.layer) if found == site)


def _without(routed: Routed, removed: torch.Tensor, fill: torch.Tensor | float) -> torch.Tensor:
    """Values of experts with some of their neurons replaced, numbered as expert * neurons of one + neuron."""
    values = routed.values.clone()
    width = values.shape[1]
    for expert in removed.div(width, rounding_mode="floor").unique().tolist():
        own = removed // width == expert
        rows = (routed.expert == expert).nonzero()
        new = fill[own].to(values) if isinstance(fill, torch.Tensor) else fill
        values[rows, (removed[own] % width).to(values.device)] = new
    return values


class _Sums:
    """Sums of units over tokens, per language."""

    def __init__(self, loaded: LoadedModel, encoded: EncodedPrompts, unit: str):
        self.loaded, self.encoded = loaded, encoded
        architecture = loaded.architecture
        self.layers = [
            [site for site, _, _ in _parts(architecture, unit, i)] for i in range(architecture.n_layers)
        ]
        self.parts = {part.neuron: part for parts in architecture.neurons for part in parts}
        self.sums: dict[Site, torch.Tensor] = {}
        self.tokens: dict[Site, torch.Tensor] = {}

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Add a batch: all of it, or nothing if it raises."""
        language = torch.tensor([item.language for item in batch.items])
        n_languages = len(self.encoded.languages)
        weights = torch.nn.functional.one_hot(language, n_languages).T.double()
        found: dict[Site, tuple[torch.Tensor, torch.Tensor]] = {}

        def look(value: torch.Tensor | Routed, site: Site) -> None:
            if isinstance(value, Routed):
                found[site] = self._of_experts(batch, language, value, self.parts[site].n_experts)
                return
            counted = batch.counted.to(value.device)
            rows = torch.stack(
                [row[real].double().sum(dim=0) for row, real in zip(value, counted, strict=True)]
            )
            weight = weights.to(rows.device)
            tokens = weight @ counted.sum(dim=1).double()
            total = torch.einsum("li,i...->l...", weight, rows)
            found[site] = total, tokens.view(-1, *[1] * (total.ndim - 1))

        sites = [site for layer in self.layers for site in layer]
        with reading(self.loaded.architecture, dict.fromkeys(sites, look)):
            hidden = self.loaded.architecture.body(**batch.inputs()).last_hidden_state
        require_finite(self.loaded, self.encoded, batch, hidden)
        for site, (total, tokens) in found.items():
            self.sums[site] = self.sums[site] + total if site in self.sums else total
            self.tokens[site] = self.tokens[site] + tokens if site in self.tokens else tokens

    def means(self) -> list[torch.Tensor]:
        """Mean over languages of each language's mean, of those that have any."""
        return [torch.cat([self._mean(site) for site in layer]) for layer in self.layers]

    def state(self) -> dict[str, np.ndarray]:
        """Nothing: a pass for means is short, and is not taken up again."""
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Nothing to restore."""

    def _mean(self, site: Site) -> torch.Tensor:
        known = self.tokens[site] > 0
        means = torch.where(known, self.sums[site] / self.tokens[site].clamp(min=1), 0)
        return (means.sum(dim=0) / known.sum(dim=0).clamp(min=1)).flatten(
            0, 1 if site.name == "expert_neuron" else 0
        )

    def _of_experts(
        self, batch: Batch, language: torch.Tensor, routed: Routed, n_experts: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums and tokens, ``[language, expert, neuron]`` and ``[language, expert, 1]``."""
        device = routed.values.device
        counted = batch.counted.to(device).flatten()[routed.token]
        row = language.to(device)[routed.token // batch.ids.shape[1]]
        key = (row * n_experts + routed.expert)[counted]
        shape = (len(self.encoded.languages), n_experts)
        total = torch.zeros(shape[0] * shape[1], routed.values.shape[1], dtype=torch.float64, device=device)
        total.index_add_(0, key, routed.values[counted].double())
        tokens = torch.bincount(key, minlength=len(total)).double()
        return total.view(*shape, -1), tokens.view(*shape, 1)
