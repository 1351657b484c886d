"""Measure which units carry each fact's answer in each language, and how far languages use the same ones.

One forward and one backward pass per question give the attribution of every head and neuron. The attributions
of a fact
and its partner in all languages are held together, folded into inner products, and let go of: nothing that is
kept grows with the number of units.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from interp.characters import visible
from interp.data.facts import FactSet
from interp.data.languages import LANGUAGES
from interp.data.partners import Pairing, pair_facts
from interp.data.prompts import context_of, prompts_from_facts
from interp.errors import MeasurementError
from interp.measure.attributions import attributions
from interp.measure.contrasts import Contrast, make_contrasts
from interp.measure.gradients import BACKWARD_TOKENS
from interp.measure.passes import Progress, run_batches
from interp.measure.provenance import Measurement
from interp.model.loading import LoadedModel
from interp.model.sites import SITES_OF, Site
from interp.model.tokens import length_sorted, make_batches
from interp.results.routing import RoutingResult
from interp.results.settings.routing import RoutingSettings

__all__ = ["measure_routing"]

_MEASURED = ("contrast", "dots", "cross", "shared", "shared_cross")


def measure_routing(
    loaded: LoadedModel,
    facts: FactSet,
    settings: RoutingSettings | None = None,
    *,
    batch_tokens: int = 4096,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> RoutingResult:
    """Overlap of languages in the units that carry a fact, for every fact that has a partner.

    Args:
        loaded: The opened checkpoint.
        facts: What is asked, in which languages (at least 2) and words.
        settings: Which units, and how many count as carrying most: those that add most to the contrast, at
            least one.
        batch_tokens: Padded tokens per backward pass; changes nothing but speed.
        resume: File for the state of an interrupted pass.
        progress: Called with facts tokenized, then with batches done, and all of them.

    Raises:
        DataError: No two facts can be paired.
        MeasurementError: One language, a share that is none, a question without a contrast, or attributions
            that are not finite.
        CapabilityError: The architecture lacks such units.
    """
    if len(facts.languages) < 2:
        raise MeasurementError(
            f"One language ('{facts.languages[0]}'); an overlap is between at least 2. Add languages."
        )
    settings = settings or RoutingSettings()
    units = settings.unit_kinds
    loaded.architecture.require(*(SITES_OF[unit] for unit in units))
    pairing = pair_facts(facts)
    contrasts = make_contrasts(loaded, pairing.facts, facts.prompt_format, progress)
    overlaps = _Overlaps(loaded, pairing, contrasts, units, settings.top, batch_tokens)
    measurement = Measurement.of(loaded, prompts_from_facts(facts), settings, **context_of(facts))

    def describe(pair: int) -> str:
        return f"The fact '{visible(pairing.facts.facts[2 * pair].fact_id)}' with its partner"

    largest = run_batches(
        loaded,
        overlaps.batches(),
        overlaps.add,
        overlaps,
        describe,
        resume=resume,
        key=measurement.key(batch_tokens=batch_tokens),
        progress=progress,
    )
    return RoutingResult(
        languages=facts.languages,
        scripts=tuple(LANGUAGES[code].script for code in facts.languages),
        fact_ids=tuple(fact.fact_id for fact in pairing.facts),
        relations=tuple(fact.relation for fact in pairing.facts),
        groups=pairing.clusters,
        units=units,
        top=overlaps.top,
        provenance=measurement.provenance(
            batch_tokens=batch_tokens, largest_batch=largest, without_partner=pairing.left_out
        ),
        **overlaps.state(),
    )


class _Overlaps:
    """Inner products and shared top units of all pairs of facts so far."""

    def __init__(
        self,
        loaded: LoadedModel,
        pairing: Pairing,
        contrasts: Sequence[Contrast],
        units: tuple[str, ...],
        top: float,
        batch_tokens: int,
    ):
        self.loaded, self.units, self.batch_tokens = loaded, units, batch_tokens
        self.names = [visible(fact.fact_id) for fact in pairing.facts]
        self.languages = pairing.facts.languages
        self.contrasts = {(c.item.block, c.item.language): c for c in contrasts}
        architecture, n_languages = loaded.architecture, len(self.languages)
        n_layers = architecture.n_layers
        per_layer = [architecture.n_units(SITES_OF[unit]) for unit in units]
        pools = [[n] * n_layers + [n * n_layers] for n in per_layer]
        self.top = np.maximum(1, np.rint(top * np.array(pools))).astype(np.int64)
        shape = (len(units), len(self.names), n_languages, n_languages, n_layers)
        half = (*shape[:1], shape[1] // 2, *shape[2:])
        self.contrast = np.zeros((len(self.names), n_languages), dtype=np.float32)
        self.dots, self.cross = np.zeros(shape, dtype=np.float32), np.zeros(half, dtype=np.float32)
        self.shared = np.zeros((*shape[:4], n_layers + 1), dtype=np.int32)
        self.shared_cross = np.zeros((*half[:4], n_layers + 1), dtype=np.int32)

    def state(self) -> dict[str, np.ndarray]:
        """Everything so far, for resuming, under the names of the result."""
        return {name: getattr(self, name) for name in _MEASURED}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        for name, array in self.state().items():
            array[:] = state[name]

    def batches(self) -> list[tuple[int, ...]]:
        """Pairs of facts, longest first, in batches of about ``batch_tokens`` tokens."""
        cost = [sum(len(c.item) for c in self._of(pair)) for pair in range(len(self.names) // 2)]
        return make_batches(range(len(cost)), self.batch_tokens, cost.__getitem__, padded=False)

    def add(self, pairs: Sequence[int]) -> None:
        """Fold some pairs: all of them, or nothing if it raises."""
        contrasts, vectors = self._vectors(pairs)
        n_layers, width = self.loaded.architecture.n_layers, 2 * len(self.languages)
        facts = [fact for pair in pairs for fact in (2 * pair, 2 * pair + 1)]
        self.contrast[facts] = contrasts.reshape(len(facts), -1)
        for number, unit in enumerate(self.units):
            layers = [vectors[Site(SITES_OF[unit], layer)] for layer in range(n_layers)]
            for index, pair in enumerate(pairs):
                rows = [layer[index * width : (index + 1) * width] for layer in layers]
                dots = np.stack([(row @ row.T).cpu().numpy() for row in rows], axis=-1)
                every = torch.cat([row.to(rows[0].device) for row in rows], dim=1)
                tops = zip([*rows, every], self.top[number].tolist(), strict=True)
                shared = np.stack([_shared(row, k) for row, k in tops], axis=-1)
                self._keep(number, pair, dots, self.dots, self.cross)
                self._keep(number, pair, shared, self.shared, self.shared_cross)

    def _keep(self, unit: int, pair: int, matrix: np.ndarray, same: np.ndarray, cross: np.ndarray) -> None:
        """Put a matrix over (fact, language) of a pair where it belongs: of one fact, or of both."""
        n = len(self.languages)
        same[unit, 2 * pair], same[unit, 2 * pair + 1] = matrix[:n, :n], matrix[n:, n:]
        cross[unit, pair] = matrix[:n, n:]

    def _of(self, pair: int) -> list[Contrast]:
        """A pair's questions: the first fact in every language, then the second."""
        facts, languages = (2 * pair, 2 * pair + 1), range(len(self.languages))
        return [self.contrasts[fact, language] for fact in facts for language in languages]

    def _vectors(self, pairs: Sequence[int]) -> tuple[np.ndarray, dict[Site, torch.Tensor]]:
        """Contrasts and attributions of all questions of some pairs, in their order."""
        ordered = [c for pair in pairs for c in self._of(pair)]
        places = {(c.item.block, c.item.language): place for place, c in enumerate(ordered)}
        contrasts = np.zeros(len(ordered), dtype=np.float32)
        vectors: dict[Site, torch.Tensor] = {}
        for items in length_sorted([c.item for c in ordered], min(self.batch_tokens, BACKWARD_TOKENS)):
            keys = [(item.block, item.language) for item in items]
            gaps, each = attributions(self.loaded, [self.contrasts[key] for key in keys], self.units)
            contrasts[[places[key] for key in keys]] = gaps.cpu().numpy()
            for site, values in each.items():
                self._require_finite(values, keys)
                whole = vectors.setdefault(site, values.new_empty(len(ordered), values.shape[1]))
                whole[[places[key] for key in keys]] = values
        return contrasts, vectors

    def _require_finite(self, values: torch.Tensor, keys: Sequence[tuple[int, int]]) -> None:
        bad = ~torch.isfinite(values).all(dim=1)
        if bad.any():
            fact, language = keys[int(bad.float().argmax())]
            raise MeasurementError(
                f"The attributions of '{self.names[fact]}' in '{self.languages[language]}' are not finite; "
                "try --dtype float32."
            )


def _shared(rows: torch.Tensor, k: int) -> np.ndarray:
    """How many of the k largest units of each row are among those of each other row, zeros left out."""
    mask = torch.zeros_like(rows).scatter_(1, rows.topk(k, dim=1).indices, 1) * (rows != 0)
    return (mask @ mask.T).cpu().numpy().astype(np.int32)
