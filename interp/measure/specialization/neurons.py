"""Measure the language specialization of MLP neurons: one pass of counts -> SpecializationResult."""

from __future__ import annotations

from pathlib import Path

from interp.data.prompts import PromptSet
from interp.errors import MeasurementError
from interp.measure.passes import Progress, run_pass
from interp.measure.provenance import Measurement
from interp.measure.specialization.activations import NeuronCounter
from interp.model.loading import LoadedModel
from interp.model.tokens import EncodedPrompts, length_sorted
from interp.results.specialization import SpecializationResult, SpecializationSettings

__all__ = [
    "measure_specialization",
    "require_blocks",
    "require_full_blocks",
    "require_tokens",
]


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
    """Count active tokens of every neuron in every language.

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
    loaded.architecture.require("mlp_gate")
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
        prompts.languages, encoded.tokens(), encoded.n_items(), provenance, counts=counter.counts()
    )


def require_tokens(encoded: EncodedPrompts, min_tokens: int) -> None:
    """Refuse languages with too few tokens for a rate to mean anything."""
    require_blocks(encoded.n_blocks)
    counts = zip(encoded.tokens().sum(axis=1).tolist(), encoded.n_items().sum(axis=1).tolist(), strict=True)
    for code, (count, items) in zip(encoded.languages, counts, strict=True):
        if count < min_tokens:
            enough = -(-min_tokens * items // max(1, count))
            raise MeasurementError(
                f"Language '{code}' has {count} tokens in {items} prompts; {min_tokens} are needed, because "
                f"the standard error of a rate is up to {0.5 / max(1, count) ** 0.5:.3f}. About {enough} "
                "prompts would do; or lower min_tokens if you accept that."
            )


def require_blocks(n_blocks: int) -> None:
    """Refuse fewer blocks than an interval needs."""
    if n_blocks < 2:
        raise MeasurementError(f"{n_blocks} block; at least 2 are needed for an interval.")


def require_full_blocks(encoded: EncodedPrompts) -> None:
    """Refuse a block without items in some language: the interval would stand on the others alone."""
    for language, block in zip(*(encoded.n_items() == 0).nonzero(), strict=True):
        raise MeasurementError(
            f"Block {block} has no items in language '{encoded.languages[language]}'. Use fewer blocks, or "
            "add prompts."
        )
