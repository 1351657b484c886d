"""Many patches in few forward passes: rows that join at their layer, behind a shared prefix where they start late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float

from interp.errors import CapabilityError
from interp.measure.patching.activations import right_padded
from interp.measure.patching.branching import BranchingBatch, Patch
from interp.measure.patching.positions import ScoredPrompt
from interp.measure.patching.prefix import SharedPrefix
from interp.measure.patching.readout import readout
from interp.model.loading import LoadedModel
from interp.model.sites import Site

__all__ = ["Targets"]

_SHORTEST_PREFIX = 8  # tokens; below it, the pass that fills the cache costs more than it saves


class Targets:
    """Prompts that are patched, with what many sweeps over them share.

    Attributes:
        asked: The prompts.
        scores: Metrics of each unpatched, see `interp.measure.patching.readout`.
    """

    @torch.no_grad()
    def __init__(self, loaded: LoadedModel, asked: Sequence[ScoredPrompt]):
        self.loaded, self.asked = loaded, tuple(asked)
        self.ids, self.mask = right_padded(loaded, asked)
        body = loaded.architecture.body
        whole = body(input_ids=self.ids, attention_mask=self.mask, use_cache=True)
        self.scores: Float[torch.Tensor, "target metric"] = readout(loaded, whole.last_hidden_state, asked)
        width = self.ids.shape[1]
        self._cache = whole.past_key_values if SharedPrefix.holds(whole.past_key_values, width) else None

    @torch.no_grad()
    def sweep(
        self, patches: Sequence[Patch], activations: Mapping[Site, torch.Tensor]
    ) -> Float[torch.Tensor, "patch metric"]:
        """Patch every row and read its answer.

        A segment of one position is overwritten; one of several is shifted so that its mean is that of the source.

        Args:
            patches: The rows.
            activations: Per site, the activation of every segment.

        Raises:
            CapabilityError: The architecture lacks a site, or its layers do not run one after another.
        """
        architecture = self.loaded.architecture
        architecture.require(*{patch.cell.site for patch in patches})
        order = sorted(range(len(patches)), key=lambda i: patches[i].entry)
        chosen = [patches[i] for i in order]
        start = min(min(map(min, self.asked[p.target].segments(p.cell.span))) for p in chosen)
        found = None
        if start >= _SHORTEST_PREFIX and self._cache is not None:
            prefix = SharedPrefix(self._cache, start)
            found = self._run(BranchingBatch(architecture, self.asked, chosen, activations, start, prefix))
            if not self._as_before(found):  # a cache that works otherwise than we think
                self._cache, found = None, None
        if found is None:
            found = self._run(BranchingBatch(architecture, self.asked, chosen, activations, 0, None))
        back = torch.empty(len(order), dtype=torch.long, device=found.device)
        back[torch.tensor(order, device=found.device)] = torch.arange(len(order), device=found.device)
        return found[len(self.asked) :][back]

    def _run(self, batch: BranchingBatch) -> Float[torch.Tensor, "row metric"]:
        with batch.branching():
            hidden = self.loaded.architecture.body(
                input_ids=self.ids[:, batch.start :],
                attention_mask=self.mask,
                position_ids=torch.arange(batch.start, self.ids.shape[1], device=self.ids.device).unsqueeze(
                    0
                ),
                past_key_values=batch.prefix,
                use_cache=False,
            ).last_hidden_state
        if len(hidden) != len(batch.owners):
            raise CapabilityError(
                f"'{self.loaded.architecture.family}': {len(hidden)} of {len(batch.owners)} rows came out of the last "
                "layer, so its layers do not run one after another; the architecture is not supported."
            )
        return readout(self.loaded, hidden, batch.asked, batch.start)

    def _as_before(self, found: torch.Tensor) -> bool:
        """Whether the targets answer as they do without a shared prefix."""
        expected = self.scores[:, :2]
        error = (found[: len(self.asked), :2] - expected).abs().max() / expected.abs().max().clamp(min=1)
        return bool(error <= (1e-4 if self.loaded.model.dtype == torch.float32 else 0.05))
