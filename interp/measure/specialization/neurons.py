"""Measure the language specialization of MLP neurons: one pass of counts -> SpecializationResult."""

from __future__ import annotations

from pathlib import Path

from interp.data.prompts import PromptSet
from interp.measure.blocks import require_full_blocks, require_tokens
from interp.measure.passes import Progress, run_pass
from interp.measure.provenance import Measurement
from interp.measure.specialization.activations import NeuronCounter
from interp.model.loading import LoadedModel
from interp.model.sites import Architecture
from interp.model.tokens import length_sorted
from interp.results.settings.specialization import SpecializationSettings
from interp.results.specialization import SpecializationResult

__all__ = ["measure_specialization", "neuron_parts"]


def measure_specialization(
    loaded: LoadedModel,
    prompts: PromptSet,
    settings: SpecializationSettings | None = None,
    *,
    batch_tokens: int = 4096,
    padding: str = "right",
    resume: Path | None = None,
    progress: Progress | None = None,
) -> SpecializationResult:
    """Count active tokens of every neuron in every language; of an expert's, among those routed to it.

    Args:
        loaded: The opened checkpoint.
        prompts: What is read; every language weighs equally.
        settings: Blocks of facts, and the fewest tokens per language.
        batch_tokens: Padded tokens per forward pass.
        padding: 'right' or 'left'; changes nothing but speed.
        resume: File for the state of an interrupted pass.
        progress: Called with batches done and batches in all.

    Raises:
        MeasurementError: Too few tokens, an item longer than the context, or activations that are not finite.
        CapabilityError: The architecture has no activated gate.
    """
    settings = settings or SpecializationSettings()
    loaded.architecture.require_neurons("gate")
    encoded = loaded.encode(prompts, settings.blocks)
    require_tokens(encoded, settings.min_tokens)
    require_full_blocks(encoded)
    measurement = Measurement.of(loaded, prompts, settings)
    counter = NeuronCounter(loaded, encoded)
    options = {"batch_tokens": batch_tokens, "padding": padding}
    largest = run_pass(
        loaded,
        encoded,
        length_sorted(encoded.items, batch_tokens),
        counter,
        padding=padding,
        resume=resume,
        key=measurement.key(**options),
        progress=progress,
    )
    provenance = measurement.provenance(**options, largest_batch=largest)
    return SpecializationResult(
        prompts.languages,
        encoded.tokens(),
        encoded.n_items(),
        provenance,
        counts=counter.counts(),
        routed=counter.routed(),
        parts=neuron_parts(loaded.architecture),
    )


def neuron_parts(architecture: Architecture) -> tuple[tuple[int, int, int], ...]:
    """Per layer: routed experts, neurons of each, neurons that every token has; empty without experts."""
    if not any(part.n_experts for parts in architecture.neurons for part in parts):
        return ()
    return tuple(
        (
            sum(part.n_experts for part in parts),
            sum(part.width for part in parts if part.n_experts),
            sum(part.width for part in parts if not part.n_experts),
        )
        for parts in architecture.neurons
    )
