"""Patch activations of one run into another, one cell at a time, and keep what each run then answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interp.data.facts import FactSet
from interp.data.prompts import prompts_from_facts
from interp.errors import CapabilityError, ConfigError
from interp.measure.passes import Progress, run_batches
from interp.measure.patching.branching import Cell
from interp.measure.patching.protocol import Protocol, find_pairs
from interp.measure.patching.runs import Runs
from interp.measure.provenance import make_provenance, resume_key
from interp.model.loading import LoadedModel
from interp.model.sites import SITES_OF, Architecture
from interp.results.patching import PatchingResult

__all__ = ["measure_patching", "patching_settings"]


def measure_patching(
    loaded: LoadedModel,
    facts: FactSet,
    protocol: Protocol,
    *,
    site: str = "resid_pre",
    units: Sequence[tuple[int, ...]] = (),
    onward: bool = False,
    source: LoadedModel | None = None,
    batch_tokens: int = 4096,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> PatchingResult:
    """Patch every layer (and head) at every span of every pair, with the source's activations and with the control's.

    Args:
        loaded: The model that is patched.
        facts: In the languages asked and the source languages.
        protocol: How facts are paired, and which spans are patched.
        site: resid_pre, resid_mid, resid_post, attn_out, mlp_out, head or mlp_neuron; see `interp.model.sites`.
        units: Sets of heads or neurons, each patched together in every layer; by default each head alone, and all neurons.
        onward: Whether each patch goes from its layer to the last.
        source: The checkpoint that gives activations (mode ``checkpoints``).
        batch_tokens: Padded tokens per forward pass; halved by itself when memory runs out.
        resume: File for the state of an interrupted run; remove it once the result is saved.
        progress: Called with batches done and batches in all.

    Raises:
        MeasurementError: No pair is left, a subject is not found, or values are not finite.
        CapabilityError: The architecture lacks the site or a unit, or the two checkpoints have different shapes.
        Interrupted: Ctrl-C or SIGTERM; what is done is kept in ``resume``.
    """
    loaded.architecture.require(site)
    sets = _unit_sets(loaded.architecture, site, units)
    prompts = prompts_from_facts(facts, prompt_format=protocol.prompt_format)
    fingerprint = source.checkpoint.fingerprint if source is not None and source.checkpoint else ""
    own = patching_settings(facts, protocol, site, units, onward, fingerprint)
    provenance = make_provenance(loaded, prompts, own)
    options = {"batch_tokens": batch_tokens}
    found = find_pairs(loaded, facts, protocol, source, batch_tokens, resume, progress)
    spans = found.spans
    shape = (loaded.architecture.n_layers, len(sets), len(spans))
    cells = [
        Cell(site, layer, spans[position], sets[unit], onward) for layer, unit, position in np.ndindex(*shape)
    ]
    runs = Runs(loaded, found.pairs, cells, source=source)
    largest = run_batches(
        loaded,
        list(runs.batches(batch_tokens)),
        runs.add,
        runs,
        runs.describe,
        resume=resume,
        key=resume_key(provenance, {**options, "pairs": found.digest}),
        progress=progress,
    )
    provenance.run.update(options, largest_batch=largest)
    clean, corrupt = (found.spread(values) for values in (runs.clean, runs.corrupt))
    patched, control = (
        found.spread(np.moveaxis(runs.patched[:, i], 1, 2)).reshape(*clean.shape, *shape) for i in (0, 1)
    )
    return PatchingResult(
        languages=found.targets,
        fact_ids=tuple(fact.fact_id for fact in facts),
        groups=tuple(fact.group for fact in facts),
        mode=protocol.mode,
        sources=protocol.sources,
        site=site,
        units=tuple(",".join(map(str, chosen)) or "all" for chosen in sets),
        positions=tuple(map(str, spans)),
        onward=onward,
        metrics=found.metrics,
        left_out=found.left_out,
        clean=clean,
        corrupt=corrupt,
        patched=patched,
        control=control,
        provenance=provenance,
    )


def patching_settings(
    facts: FactSet,
    protocol: Protocol,
    site: str,
    units: Sequence[tuple[int, ...]],
    onward: bool,
    source_fingerprint: str,
) -> dict[str, Any]:
    """What decides the result of patching, beside the prompts and the numerics."""
    return {
        "measure": "patching",
        **protocol.settings(),
        "site": site,
        "units": [list(chosen) for chosen in units],
        "onward": onward,
        "source_checkpoint": source_fingerprint,
        "facts_digest": facts.digest,
    }


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
