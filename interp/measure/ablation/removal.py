"""Remove heads or neurons: set them to zero, or to what they are on average, on every token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int

from interp.data.prompts import PromptSet
from interp.measure.passes import require_finite, run_pass
from interp.model.hooks import editing, reading
from interp.model.loading import LoadedModel
from interp.model.sites import SITES_OF, Site
from interp.model.tokens import Batch, EncodedPrompts, length_sorted

__all__ = ["removed_units", "unit_means"]

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
    removed = {
        Site(SITES_OF[unit], int(layer)): torch.from_numpy(units[units // per_layer == layer] % per_layer)
        for layer in np.unique(units // per_layer)
    }

    def remove(value: torch.Tensor, site: Site) -> torch.Tensor:
        index = removed[site].to(value.device)
        changed = value.clone()
        fill = 0.0 if means is None else means[site.layer].to(value)[index]
        changed[:, :, index] = fill
        return changed

    with editing(architecture, dict.fromkeys(removed, remove)):
        yield


def unit_means(
    loaded: LoadedModel, prompts: PromptSet, unit: str, n_blocks: int, blocks: Sequence[int]
) -> list[Float[torch.Tensor, " unit *d_head"]]:
    """Per layer, the mean of each unit over the counted tokens of some blocks; languages weigh equally."""
    encoded = loaded.encode(prompts, n_blocks)
    items = [item for item in encoded.items if item.block in blocks]
    sums = _Sums(loaded, encoded, SITES_OF[unit])
    run_pass(loaded, encoded, length_sorted(items, _BATCH), sums)
    return sums.means()


class _Sums:
    """Sums of a site over tokens, per language."""

    def __init__(self, loaded: LoadedModel, encoded: EncodedPrompts, site: str):
        self.loaded, self.encoded = loaded, encoded
        self.sites = [Site(site, layer) for layer in range(loaded.architecture.n_layers)]
        self.tokens = np.zeros(len(encoded.languages))
        self.sums: dict[Site, torch.Tensor] = {}

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Add a batch: all of it, or nothing if it raises."""
        language = torch.tensor([item.language for item in batch.items])
        weights = torch.nn.functional.one_hot(language, len(self.encoded.languages)).T.double()
        sums: dict[Site, torch.Tensor] = {}

        def look(value: torch.Tensor, site: Site) -> None:
            counted = batch.counted.to(value.device)
            rows = torch.stack(
                [row[real].double().sum(dim=0) for row, real in zip(value, counted, strict=True)]
            )
            sums[site] = torch.einsum("li,i...->l...", weights.to(rows.device), rows)

        with reading(self.loaded.architecture, dict.fromkeys(self.sites, look)):
            hidden = self.loaded.architecture.body(**batch.inputs()).last_hidden_state
        require_finite(self.loaded, self.encoded, batch, hidden)
        for site, total in sums.items():
            self.sums[site] = self.sums[site] + total if site in self.sums else total
        np.add.at(self.tokens, language.numpy(), batch.counted.sum(dim=1).cpu().numpy())

    def means(self) -> list[torch.Tensor]:
        """Mean over languages of each language's mean."""
        tokens = torch.from_numpy(self.tokens)
        return [
            (total / tokens.to(total.device).view(-1, *[1] * (total.ndim - 1))).mean(dim=0)
            for total in (self.sums[site] for site in self.sites)
        ]

    def state(self) -> dict[str, np.ndarray]:
        """Nothing: a pass for means is short, and is not taken up again."""
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Nothing to restore."""
