"""LAPE: language activation probability entropy, as its authors and as the PolyFact repository run it.

Both rank neurons by the entropy of their activation probabilities over languages and keep a fixed share of
all neurons (1 %). The number selected is therefore the same for every checkpoint that is lively enough:
neither can show that training made a model less specialized. They serve for comparison with published sets;
`interp.results.specialization` defines the score that can rise and fall.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from interp.errors import ResultError
from interp.stats import entropy

__all__ = ["NeuronSelection", "lape_polyfact", "lape_upstream"]


@dataclass(frozen=True)
class NeuronSelection:
    """Neurons selected per language.

    Attributes:
        languages: Codes, in the order of the mask's first axis.
        mask: True where a neuron is selected for a language.
    """

    languages: tuple[str, ...]
    mask: Bool[np.ndarray, "language layer neuron"]

    @property
    def counts(self) -> dict[str, int]:
        """Neurons per language."""
        return {code: int(self.mask[i].sum()) for i, code in enumerate(self.languages)}

    @property
    def n_neurons(self) -> int:
        """Different neurons selected (one can serve several languages)."""
        return int(self.mask.any(axis=0).sum())

    @classmethod
    def load_polyfact(
        cls, path: Path | str, languages: tuple[str, ...], shape: tuple[int, int]
    ) -> NeuronSelection:
        """Read the PolyFact repository's file: layer (from 1) -> language -> neuron indices.

        Args:
            path: A ``*.neurons.json``.
            languages: Order of the language axis.
            shape: Layers and neurons per layer of the model.

        Raises:
            ResultError: A layer, language or index is outside of the model's.
        """
        mask = np.zeros((len(languages), *shape), dtype=bool)
        for layer, selected in json.loads(Path(path).read_text(encoding="utf-8")).items():
            for code, indices in selected.items():
                if (
                    code not in languages
                    or not 1 <= int(layer) <= shape[0]
                    or max(indices, default=0) >= shape[1]
                ):
                    raise ResultError(
                        f"{path}: layer {layer}, language '{code}' does not fit {shape} and {languages}."
                    )
                mask[languages.index(code), int(layer) - 1, indices] = True
        return cls(tuple(languages), mask)


def lape_upstream(
    rate: Float[np.ndarray, "language layer neuron"],
    *,
    languages: tuple[str, ...] = (),
    share: float = 0.01,
    filter_quantile: float = 0.95,
    activity_quantile: float = 0.95,
) -> NeuronSelection:
    """Select neurons as the method's authors do.

    Neurons with no language above the ``filter_quantile`` of *all* rates are left out; of the others the
    ``share`` of all neurons with the lowest entropy is kept; a neuron belongs to every language whose rate is
    above the ``activity_quantile`` of all rates. A quantile q of n values is the round(q * n)-th smallest.

    The share is fixed, so this cannot show that a model became less specialized; `activity_information` can.

    Source: Tang et al. (2024), Language-Specific Neurons, arXiv 2402.16438, and
    RUCAIBox/Language-Specific-Neurons.
    """
    lively = (rate > _quantile(rate, filter_quantile)).any(axis=0)
    spread = np.where(lively, entropy(rate), np.inf)
    selected = _lowest(spread, round(share * spread.size))
    return NeuronSelection(_names(languages, rate), (rate > _quantile(rate, activity_quantile)) & selected)


def lape_polyfact(
    rate: Float[np.ndarray, "language layer neuron"],
    *,
    languages: tuple[str, ...] = (),
    share: float = 0.01,
    smoothing: float = 1e-9,
) -> NeuronSelection:
    """Select neurons as the PolyFact repository runs it.

    No activity filter: neurons that never fire are left out, and the ``share`` of all neurons with the lowest
    entropy is kept, each under the one language in which it fires most. With unequal token counts one stray
    activation in a short language weighs as many in a long one, so use equal texts.

    The share is fixed, so this cannot show that a model became less specialized; `activity_information` can.

    Source: jvonrad/Lost-in-Mistranslation, run_lape.py (arXiv 2606.06586).
    """
    alive = rate.sum(axis=0) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        proportion = np.where(alive, rate / rate.sum(axis=0), 0.0)
    spread = np.where(alive, -(proportion * np.log(proportion + smoothing)).sum(axis=0), np.inf)
    selected = _lowest(spread, int(share * spread.size))
    best = np.arange(len(rate))[:, None, None] == rate.argmax(axis=0)
    return NeuronSelection(_names(languages, rate), best & selected)


def _quantile(rate: Float[np.ndarray, "language layer neuron"], quantile: float) -> float:
    k = min(max(round(quantile * rate.size), 1), rate.size) - 1
    return float(np.partition(rate, k, axis=None)[k])


def _lowest(spread: Float[np.ndarray, "layer neuron"], k: int) -> Bool[np.ndarray, "layer neuron"]:
    """The k lowest finite values; equal values by position, so that exactly k are kept."""
    selected = np.zeros(spread.size, dtype=bool)
    order = np.argsort(spread, axis=None, kind="stable")[:k]
    selected[order] = np.isfinite(spread.ravel()[order])
    return selected.reshape(spread.shape)


def _names(languages: tuple[str, ...], rate: np.ndarray) -> tuple[str, ...]:
    return tuple(languages) or tuple(str(i) for i in range(len(rate)))
