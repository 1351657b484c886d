"""Patch activations of one run into another, one cell at a time, and keep what each run then answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interp.data.facts import FactSet
from interp.data.prompts import context_of, prompts_from_facts
from interp.errors import CapabilityError, ConfigError
from interp.measure.passes import Progress, run_batches
from interp.measure.patching.branching import Cell
from interp.measure.patching.protocol import Protocol, find_pairs
from interp.measure.patching.runs import Runs
from interp.measure.provenance import Measurement
from interp.model.loading import LoadedModel
from interp.model.sites import SITES_OF, Architecture
from interp.results.patching import PatchingResult
from interp.results.settings.patching import PatchingSettings

__all__ = ["measure_patching", "patching_context"]


def measure_patching(
    loaded: LoadedModel,
    facts: FactSet,
    settings: PatchingSettings | None = None,
    *,
    source: LoadedModel | None = None,
    batch_tokens: int = 4096,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> PatchingResult:
    """Patch every layer (and head) at every span of every pair, from its source and from its control.

    Args:
        loaded: The model that is patched.
        facts: In the languages asked and the source languages.
        settings: How facts are paired, and what is patched; by default each head alone, and all neurons
            together.
        source: The checkpoint that gives activations (mode ``checkpoints``).
        batch_tokens: Padded tokens per forward pass; halved automatically on out-of-memory.
        resume: File for the state of an interrupted run; remove it once the result is saved.
        progress: Called with batches done and batches in all.

    Raises:
        MeasurementError: No pair is left, a subject is not found, or values are not finite.
        CapabilityError: The architecture lacks the site or a unit, or the two checkpoints have different
            shapes.
        Interrupted: Ctrl-C or SIGTERM; what is done is kept in ``resume``.
    """
    settings = settings or PatchingSettings()
    protocol, site = Protocol.of(settings, facts), settings.site
    loaded.architecture.require(site)
    sets = _unit_sets(loaded.architecture, site, settings.unit_sets)
    measurement = Measurement.of(
        loaded, prompts_from_facts(facts), settings, **patching_context(facts, source)
    )
    paired = find_pairs(loaded, facts, protocol, source, batch_tokens, resume, progress)
    spans = paired.spans
    shape = (loaded.architecture.n_layers, len(sets), len(spans))
    cells = [
        Cell(site, layer, spans[position], sets[unit], settings.onward)
        for layer, unit, position in np.ndindex(*shape)
    ]
    runs = Runs(loaded, paired.pairs, cells, source=source)
    largest = run_batches(
        loaded,
        list(runs.batches(batch_tokens)),
        runs.add,
        runs,
        runs.describe,
        resume=resume,
        key=measurement.key(batch_tokens=batch_tokens, pairs=paired.digest),
        progress=progress,
    )
    clean, corrupt = (paired.spread(values) for values in (runs.clean, runs.corrupt))
    patched, control = (
        paired.spread(np.moveaxis(runs.patched[:, i], 1, 2)).reshape(*clean.shape, *shape) for i in (0, 1)
    )
    return PatchingResult(
        languages=paired.targets,
        fact_ids=tuple(fact.fact_id for fact in facts),
        groups=tuple(fact.group for fact in facts),
        mode=protocol.mode,
        sources=protocol.sources,
        site=site,
        units=tuple(",".join(map(str, together)) or "all" for together in sets),
        positions=tuple(map(str, spans)),
        onward=settings.onward,
        metrics=paired.metrics,
        left_out=paired.left_out,
        clean=clean,
        corrupt=corrupt,
        patched=patched,
        control=control,
        provenance=measurement.provenance(batch_tokens=batch_tokens, largest_batch=largest),
    )


def patching_context(facts: FactSet, source: LoadedModel | None) -> dict[str, Any]:
    """What of the data, and of the checkpoint that gives activations, decides the numbers."""
    fingerprint = source.checkpoint.fingerprint if source is not None and source.checkpoint else ""
    return {"source_checkpoint": fingerprint, **context_of(facts)}


def _unit_sets(
    architecture: Architecture, site: str, units: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Which units are patched together; the empty set means all."""
    per_layer = architecture.n_units(site)
    if not units:
        return [(head,) for head in range(per_layer)] if site == "head" else [()]
    if not per_layer:
        raise ConfigError(
            f"Site '{site}' has no units that could be patched alone. Choose from: "
            f"{', '.join(SITES_OF.values())}."
        )
    wrong = [unit for together in units for unit in together if not 0 <= unit < per_layer]
    if wrong or not all(units):
        raise CapabilityError(
            f"No {site} {wrong[0] if wrong else 'in an empty set'}: a layer of this '{architecture.family}' "
            f"has 0 to {per_layer - 1}."
        )
    return list(units)
