"""Many patches in few forward passes: rows join at their layer, behind a shared prefix if they start late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float

from interp.errors import CapabilityError
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
        prompts: The prompts.
        scores: Metrics of each unpatched, see `interp.measure.patching.readout`.
    """

    @torch.no_grad()
    def __init__(self, loaded: LoadedModel, prompts: Sequence[ScoredPrompt]):
        self.loaded, self.prompts = loaded, tuple(prompts)
        self.ids, self.mask = loaded.pad_rows([prompt.tokens for prompt in prompts])
        body = loaded.architecture.body
        whole = body(input_ids=self.ids, attention_mask=self.mask, use_cache=True)
        self.scores: Float[torch.Tensor, "target metric"] = readout(loaded, whole.last_hidden_state, prompts)
        width = self.ids.shape[1]
        self._cache = whole.past_key_values if SharedPrefix.holds(whole.past_key_values, width) else None

    @torch.no_grad()
    def sweep(
        self, patches: Sequence[Patch], activations: Mapping[Site, torch.Tensor]
    ) -> Float[torch.Tensor, "patch metric"]:
        """Patch every row and read its answer.

        A segment of one position is overwritten; one of several is shifted so that its mean is that of the
        source.

        Args:
            patches: The rows.
            activations: Per site, the activation of every segment.

        Raises:
            CapabilityError: The architecture lacks a site, or its layers do not run one after another.
        """
        architecture = self.loaded.architecture
        architecture.require(*{patch.cell.site for patch in patches})
        order = sorted(range(len(patches)), key=lambda i: patches[i].entry)
        ordered = [patches[i] for i in order]
        start = min(min(map(min, self.prompts[p.target].segments(p.cell.span))) for p in ordered)
        scores = None
        if start >= _SHORTEST_PREFIX and self._cache is not None:
            prefix = SharedPrefix(self._cache, start)
            scores = self._run(
                BranchingBatch(architecture, self.prompts, ordered, activations, start, prefix)
            )
            if not self._as_before(scores):  # a cache that works otherwise than we think
                self._cache, scores = None, None
        if scores is None:
            scores = self._run(BranchingBatch(architecture, self.prompts, ordered, activations, 0, None))
        back = torch.empty(len(order), dtype=torch.long, device=scores.device)
        back[torch.tensor(order, device=scores.device)] = torch.arange(len(order), device=scores.device)
        return scores[len(self.prompts) :][back]

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
                f"'{self.loaded.architecture.family}': {len(hidden)} of {len(batch.owners)} rows came out of "
                "the last layer, so its layers do not run one after another; the architecture is not "
                "supported."
            )
        return readout(self.loaded, hidden, batch.prompts, batch.start)

    def _as_before(self, scores: torch.Tensor) -> bool:
        """Whether the targets answer as they do without a shared prefix."""
        expected = self.scores[:, :2]
        error = (scores[: len(self.prompts), :2] - expected).abs().max() / expected.abs().max().clamp(min=1)
        return bool(error <= (1e-4 if self.loaded.model.dtype == torch.float32 else 0.05))
