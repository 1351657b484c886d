"""Measure the language importance of attention heads (LAHIS): gradients with respect to a scale per head.

The scale multiplies each head's output before the output projection, so the model's own attention runs
unchanged and stays causal under any implementation. With a frozen mask (the default) all items of a batch
share one backward pass, since row i of the mask touches only item i.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional

from interp.data.prompts import PromptSet
from interp.errors import MeasurementError
from interp.measure.blocks import require_blocks, require_full_blocks
from interp.measure.gradients import BACKWARD_TOKENS
from interp.measure.passes import Progress, require_finite, run_pass
from interp.measure.provenance import Measurement
from interp.model.hooks import editing
from interp.model.loading import LoadedModel
from interp.model.sites import Site
from interp.model.tokens import Batch, EncodedItem, EncodedPrompts, length_sorted, split_batch
from interp.model.vocabulary import rows_at_a_time
from interp.results.heads import HeadsResult
from interp.results.settings.specialization import SpecializationSettings

__all__ = ["measure_heads", "require_items", "scaled_heads"]


def measure_heads(
    loaded: LoadedModel,
    prompts: PromptSet,
    settings: SpecializationSettings | None = None,
    *,
    min_items: int = 16,
    batch_tokens: int = 4096,
    padding: str = "right",
    resume: Path | None = None,
    progress: Progress | None = None,
) -> HeadsResult:
    """Importance of every head in every language.

    The loss of an item is the mean negative log-likelihood of its counted tokens given what stands before
    them.

    Args:
        loaded: The opened checkpoint.
        prompts: What is read.
        settings: Blocks of facts, and the mask: ``frozen`` is all ones; ``trained`` is upstream's variant, in
            which AdamW (rate 0.01, decay 0.01) moves the mask after every item, so that scores depend on the
            number and order of items; for parity only.
        min_items: Fewest items per language.
        batch_tokens: Padded tokens per backward pass; a trained mask takes one item at a time.
        padding: 'right' or 'left'; changes nothing but speed.
        resume: File for the state of an interrupted pass.
        progress: Called with batches done and batches in all.

    Raises:
        MeasurementError: Too few items, an item longer than the context, or values that are not finite.

    Source: LAHIS (Linuxin-xxx/LAHIS); the mask as a pre-hook of the output projection is ours.
    """
    settings = settings or SpecializationSettings()
    mask, n_blocks = settings.mask, settings.blocks
    require_blocks(n_blocks)
    encoded = loaded.encode(prompts, n_blocks)
    require_items(encoded.languages, encoded.n_items().sum(axis=1).tolist(), min_items)
    require_full_blocks(encoded)
    measurement = Measurement.of(loaded, prompts, settings.stored_heads())
    accumulator = (TrainedHeads if mask == "trained" else FrozenHeads)(loaded, encoded)
    batches = (
        [(i,) for i in encoded.items] if mask == "trained" else length_sorted(encoded.items, batch_tokens)
    )
    options = {"batch_tokens": batch_tokens, "padding": padding}
    largest = run_pass(
        loaded,
        encoded,
        batches,
        accumulator,
        padding=padding,
        resume=resume,
        key=measurement.key(**options),
        progress=progress,
    )
    return HeadsResult(
        prompts.languages,
        encoded.tokens(),
        encoded.n_items(),
        measurement.provenance(**options, largest_batch=largest),
        magnitude=accumulator.magnitude,
        helpful=accumulator.helpful,
        mask=mask,
    )


def require_items(languages: Sequence[str], counts: Sequence[int], min_items: int = 16) -> None:
    """Refuse languages with too few items for the share in which a head helps to mean anything."""
    for code, count in zip(languages, counts, strict=True):
        if count < min_items:
            raise MeasurementError(
                f"Language '{code}' has {count} prompts; {min_items} are needed, because the standard error "
                f"of the share in which a head helps is up to {0.5 / count**0.5:.2f}. Add prompts, or raise "
                "--head-items."
            )


class FrozenHeads:
    """Sums of |gradient| and counts of negative ones, with a mask of ones."""

    def __init__(self, loaded: LoadedModel, encoded: EncodedPrompts):
        self.loaded = loaded
        self.encoded = encoded
        architecture = loaded.architecture
        architecture.require("head")
        shape = (len(encoded.languages), encoded.n_blocks, architecture.n_layers, architecture.n_heads)
        self.magnitude = np.zeros(shape, dtype=np.float64)
        self.helpful = np.zeros(shape, dtype=np.int64)

    def add(self, batch: Batch) -> None:
        """Add a batch: all of it, or nothing if it raises."""
        ones = torch.ones(self.magnitude.shape[2:], device=self.loaded.device)
        parts = split_batch(batch, BACKWARD_TOKENS)
        gradient = np.concatenate([self._gradients(p, ones.expand(len(p.items), -1, -1)) for p in parts])
        self._add(batch.items, np.abs(gradient), gradient < 0)

    def state(self) -> dict[str, np.ndarray]:
        """The sums, for resuming."""
        return {"magnitude": self.magnitude, "helpful": self.helpful}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        self.magnitude[:], self.helpful[:] = state["magnitude"], state["helpful"]

    def _gradients(self, batch: Batch, scales: torch.Tensor) -> Float[np.ndarray, "prompt layer head"]:
        """Gradient of each item's loss with respect to its own scales."""
        scales = scales.detach().float().requires_grad_(True)
        with torch.enable_grad(), scaled_heads(self.loaded, scales):
            hidden = self.loaded.architecture.body(**batch.inputs()).last_hidden_state
            require_finite(self.loaded, self.encoded, batch, hidden)
            states, arriving = _loss_gradient(self.loaded, batch, hidden)
            (gradient,) = torch.autograd.grad(states, scales, grad_outputs=arriving)
        if not torch.isfinite(gradient).all():
            row = int((~torch.isfinite(gradient)).flatten(1).any(dim=1).float().argmax())
            raise MeasurementError(
                f"The head gradients of item {self.encoded.describe(batch.items[row])} are not finite; try "
                "--dtype float32."
            )
        return gradient.double().cpu().numpy()

    def _add(self, items: tuple[EncodedItem, ...], magnitude: np.ndarray, helpful: np.ndarray) -> None:
        cell = ([i.language for i in items], [i.block for i in items])
        np.add.at(self.magnitude, cell, magnitude)
        np.add.at(self.helpful, cell, helpful)


class TrainedHeads(FrozenHeads):
    """As upstream: one mask per language, moved by AdamW after every item."""

    def __init__(self, loaded: LoadedModel, encoded: EncodedPrompts):
        super().__init__(loaded, encoded)
        shape = self.magnitude.shape[2:]
        self._masks = [torch.nn.Parameter(torch.ones(shape, device=loaded.device)) for _ in encoded.languages]
        self._optimizers = [torch.optim.AdamW([mask], lr=1e-2, weight_decay=1e-2) for mask in self._masks]

    def add(self, batch: Batch) -> None:
        """Add one item, then move its language's mask."""
        (item,) = batch.items
        mask = self._masks[item.language]
        gradient = self._gradients(batch, mask[None])
        before = mask.detach().double().cpu().numpy()
        self._add(batch.items, np.abs(gradient) * before, gradient * before < 0)
        mask.grad = torch.from_numpy(gradient[0]).to(mask)
        self._optimizers[item.language].step()

    def state(self) -> dict[str, np.ndarray]:
        """Sums, masks and the optimizers' moments."""
        saved = super().state()
        for index, (mask, optimizer) in enumerate(zip(self._masks, self._optimizers, strict=True)):
            saved[f"mask_{index}"] = mask.detach().cpu().numpy()
            for name, value in optimizer.state[mask].items():
                saved[f"{name}_{index}"] = value.cpu().numpy()
        return saved

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        super().restore(state)
        for index, (mask, optimizer) in enumerate(zip(self._masks, self._optimizers, strict=True)):
            mask.data.copy_(torch.from_numpy(state[f"mask_{index}"]))
            for name in ("step", "exp_avg", "exp_avg_sq"):
                if f"{name}_{index}" in state:  # absent before the language's first item
                    value = torch.from_numpy(np.array(state[f"{name}_{index}"]))
                    optimizer.state[mask][name] = value if name == "step" else value.to(mask.device)


@contextmanager
def scaled_heads(loaded: LoadedModel, scales: Float[torch.Tensor, "prompt layer head"]) -> Iterator[None]:
    """Multiply the output of head h of layer l in row i by ``scales[i, l, h]`` while the context is open."""

    def scale(value: torch.Tensor, site: Site) -> torch.Tensor:
        scale = scales[:, site.layer].to(value.device)[:, None, :, None]
        return (value.float() * scale).to(value.dtype)  # near 1 a bfloat16 scale moves in steps of 1/128

    sites = [Site("head", layer) for layer in range(loaded.architecture.n_layers)]
    with editing(loaded.architecture, dict.fromkeys(sites, scale)):
        yield


def _loss_gradient(
    loaded: LoadedModel, batch: Batch, hidden: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The states that predict scored tokens, and the gradient of the items' losses with respect to them.

    An item's loss is the mean negative log-likelihood of its scored tokens: those that count and have
    something before them. The loss is computed in float32 for a chunk of tokens at a time and let go of
    before the next.
    """
    scored = batch.counted[:, 1:] & batch.attention[:, :-1].bool()
    per_item = scored.sum(dim=1, keepdim=True).clamp(min=1)
    weights = (1.0 / per_item).expand_as(scored)[scored].to(hidden.device)
    states, targets = hidden[:, :-1][scored.to(hidden.device)], batch.ids[:, 1:][scored].to(hidden.device)
    rows = rows_at_a_time(states.detach(), loaded.architecture.unembed)
    chunks = zip(*(each.split(rows) for each in (states.detach(), targets, weights)), strict=True)
    return states, torch.cat([_chunk_gradient(loaded, *chunk) for chunk in chunks])


def _chunk_gradient(
    loaded: LoadedModel, states: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    states = states.requires_grad_(True)
    logits = loaded.architecture.unembed(states).float()  # on the unembedding's device when a model is spread
    losses = functional.cross_entropy(logits, targets.to(logits.device), reduction="none")
    return torch.autograd.grad((losses * weights.to(losses.device)).sum(), states)[0]
