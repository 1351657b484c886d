"""Estimate the effect of patching every head or neuron from one backward pass, and verify some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from interp.data.facts import FactSet
from interp.data.hashing import digest_of
from interp.data.prompts import prompts_from_facts
from interp.errors import ConfigError
from interp.measure.gradients import BACKWARD_TOKENS
from interp.measure.passes import Progress, run_batches
from interp.measure.patching.estimates import Estimates
from interp.measure.patching.pairs import Pair
from interp.measure.patching.patching import patching_context
from interp.measure.patching.positions import ScoredPrompt
from interp.measure.patching.protocol import PatchingPairs, Protocol, find_pairs
from interp.measure.patching.verification import SEED, Verified, cells_to_verify
from interp.measure.provenance import Measurement
from interp.model.loading import LoadedModel
from interp.model.sites import SITES_OF, Site
from interp.model.tokens import make_batches
from interp.results.attribution import AttributionResult
from interp.results.estimates import mean_estimates
from interp.results.settings.patching import UNIT_OF_SITE, PatchingSettings

__all__ = ["measure_attribution"]

_BLOCKS = 8


def measure_attribution(
    loaded: LoadedModel,
    facts: FactSet,
    settings: PatchingSettings | None = None,
    *,
    source: LoadedModel | None = None,
    batch_tokens: int = 4096,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> AttributionResult:
    """Estimate the effect of patching each unit alone, at every layer and span, on the logit difference.

    What stands after the prompt cannot change the logits at its end, so prompts are read without their
    answers. What is kept does not grow with the number of facts, but for the cells that are verified.

    Args:
        loaded: The model that would be patched.
        facts: In the languages asked and the source languages.
        settings: How facts are paired, which units are estimated, and how many cells with the largest
            absolute estimates, and how many others drawn at random, are patched to verify.
        source: The checkpoint that gives activations (mode ``checkpoints``).
        batch_tokens: Padded tokens of targets per pass; halved by itself when memory runs out.
        resume: File for the state of an interrupted run, see
            `interp.measure.patching.protocol.partial_files`.
        progress: Called with batches done and batches in all.

    Raises:
        ConfigError: The settings are not of attribution.
        MeasurementError: No pair is left, a subject is not found, or values are not finite.
        CapabilityError: The architecture lacks such units, or the two checkpoints have different shapes.
        Interrupted: Ctrl-C or SIGTERM; what is done is kept in ``resume``.
    """
    settings = settings or PatchingSettings(site="head", attribution=True)
    if not settings.attribution:
        raise ConfigError("The settings are of patching; attribution needs attribution=True.")
    protocol, unit = Protocol.of(settings, facts), UNIT_OF_SITE[settings.site]
    loaded.architecture.require(settings.site)
    prompts = prompts_from_facts(facts)
    measurement = Measurement.of(loaded, prompts, settings, **patching_context(facts, source))
    paired = find_pairs(loaded, facts, protocol, source, batch_tokens, resume, progress)
    paired = replace(paired, pairs=[_without_answers(pair) for pair in paired.pairs])
    dealt = prompts.group_blocks(min(_BLOCKS, len({fact.group for fact in facts})))
    blocks = np.array([dealt[fact.group] for fact in facts], dtype=np.int64)
    sums = _Sums(loaded, source, paired, unit, blocks)
    at_a_time = min(batch_tokens, BACKWARD_TOKENS)
    key = measurement.key(batch_tokens=at_a_time, pairs=paired.digest)
    largest = run_batches(
        loaded,
        sums.batches(at_a_time),
        sums.add,
        sums,
        sums.describe,
        resume=resume,
        key=key,
        progress=progress,
    )
    top, others = cells_to_verify(mean_estimates(sums.sums[0], sums.counts[0]), settings.cells_verified)
    cells = np.concatenate([top, others])
    verified = Verified(loaded, source, paired, unit, cells)
    if len(cells):
        run_batches(
            loaded,
            list(verified.runs.batches(batch_tokens, controls=False)),
            verified.add,
            verified,
            verified.runs.describe,
            resume=None if resume is None else resume.with_name(f"{resume.name}.verify"),
            key={**key, "cells": digest_of(cells.tolist())},
            progress=progress,
        )
    return AttributionResult(
        languages=paired.targets,
        fact_ids=tuple(fact.fact_id for fact in facts),
        groups=tuple(fact.group for fact in facts),
        mode=protocol.mode,
        sources=protocol.sources,
        unit=unit,
        positions=tuple(map(str, paired.spans)),
        metrics=("logit_diff",),
        left_out=paired.left_out,
        clean=paired.spread(sums.clean[:, None]),
        corrupt=paired.spread(sums.corrupt[:, None]),
        counts=sums.counts,
        sums=sums.sums,
        cells=cells,
        top=len(top),
        estimated=paired.spread(verified.estimated),
        effects=paired.spread(verified.effects()),
        provenance=measurement.provenance(batch_tokens=batch_tokens, largest_batch=largest, seed=SEED),
    )


class _Sums:
    """Sums of estimates and numbers of pairs so far, per language and block of facts.

    Attributes:
        sums: Estimates by the sources (0) and the controls (1), in logits.
        counts: Pairs that they are of.
        clean: Logit difference of each pair's source.
        corrupt: Logit difference of each pair's target.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        source: LoadedModel | None,
        paired: PatchingPairs,
        unit: str,
        blocks: Int[np.ndarray, " fact"],
    ):
        self.loaded, self.source = loaded, source or loaded
        self.pairs, self.spans = paired.pairs, paired.spans
        architecture = loaded.architecture
        self.sites = [Site(SITES_OF[unit], layer) for layer in range(architecture.n_layers)]
        n_blocks, n_languages = int(blocks.max()) + 1, len(paired.targets)
        self.cell = np.array([pair.language * n_blocks + blocks[pair.fact] for pair in self.pairs])
        places = (2, n_languages, n_blocks)
        units = architecture.n_units(SITES_OF[unit])
        self.sums = np.zeros((*places, architecture.n_layers, units, len(self.spans)), dtype=np.float32)
        self.counts = np.zeros((*places, len(self.spans)), dtype=np.int64)
        self.clean, self.corrupt = np.full((2, len(self.pairs)), np.nan, dtype=np.float32)

    def batches(self, batch_tokens: int) -> list[tuple[int, ...]]:
        """Pairs of similar length, longest first, in batches of at most ``batch_tokens`` padded tokens."""
        return make_batches(range(len(self.pairs)), batch_tokens, lambda i: len(self.pairs[i].target.ids))

    def add(self, numbers: Sequence[int]) -> None:
        """Add some pairs: all of them, or nothing if it raises."""
        pairs = [self.pairs[i] for i in numbers]
        estimates = Estimates(self.loaded, self.source, pairs, self.spans, self.sites)
        cells, at = np.unique(self.cell[list(numbers)], return_inverse=True)
        shape = (len(cells), len(self.spans))
        rows = at[estimates.pair] * shape[1] + estimates.span
        parts = [
            [estimates.summed(site, rows, shape[0] * shape[1], control=control) for site in self.sites]
            for control in (False, True)
        ]
        for run, layers in enumerate(parts):  # nothing from here on raises
            sums, counts = (total[run].reshape(-1, *total.shape[3:]) for total in (self.sums, self.counts))
            for layer, part in enumerate(layers):
                sums[cells, layer] += np.moveaxis(part.reshape(*shape, -1), -1, -2)
            for number, pair in zip(numbers, pairs, strict=True):
                if pair.controls or not run:
                    counts[self.cell[number]] += [pair.target.has(span) for span in self.spans]
        self.clean[list(numbers)], self.corrupt[list(numbers)] = estimates.clean, estimates.corrupt

    def describe(self, number: int) -> str:
        """What to call a pair that does not fit into memory."""
        target = self.pairs[number].target
        return f"The gradients of {target.label} ({len(target.ids)} tokens)"

    def state(self) -> dict[str, np.ndarray]:
        """Everything so far."""
        return {name: getattr(self, name) for name in ("sums", "counts", "clean", "corrupt")}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        for name, values in self.state().items():
            values[:] = state[name]


def _without_answers(pair: Pair) -> Pair:
    """The pair with prompts alone."""

    def cut(prompt: ScoredPrompt) -> ScoredPrompt:
        return replace(prompt, answer=prompt.answer[:1])

    sources, controls = (tuple(map(cut, group)) for group in (pair.sources, pair.controls))
    return replace(pair, target=cut(pair.target), sources=sources, controls=controls)
