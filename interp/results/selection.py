"""Which units are a language's own: the most specialized, and random ones of the same layers as control."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from interp.errors import ResultError
from interp.results.heads import HeadsResult
from interp.results.specialization import SpecializationResult, language_information
from interp.results.units import UnitResult
from interp.stats import shares_of_total

__all__ = ["RULES", "default_count", "random_units", "top_units", "unit_shape"]

RULES = ("specialized", "important")
"""What makes a unit a language's own: it is specialized in it or, heads only, important to it and others."""

_SHARES = {"neuron": 0.01, "head": 0.02}  # LAPE's and LAHIS's


def default_count(result: UnitResult) -> int:
    """1 % of all neurons or 2 % of all heads, at least one."""
    n_layers, per_layer = unit_shape(result)
    return max(1, int(_SHARES[result.unit] * n_layers * per_layer))


def unit_shape(result: UnitResult) -> tuple[int, int]:
    """Layers, and units of a layer."""
    _, n_layers, per_layer = result.per_language()[1].shape
    return n_layers, per_layer


def top_units(result: UnitResult, count: int, rule: str = "specialized") -> Int[np.ndarray, "language count"]:
    """A language's own units, as layer * units per layer + unit, best first; equal values by position.

    Specialized neurons: those more often active in it than in the mean of all languages, by what their
    activity tells about it (`language_information`). Specialized heads: by how much their share of the
    language's importance is above the mean share of all languages. Important heads: by LAHIS importance, as
    it is published; the heads that every language needs are among them.

    Raises:
        ResultError: A language has fewer such units than asked for, the rule is unknown, or neurons are to be
            important.
    """
    if rule not in RULES or (rule == "important" and result.unit != "head"):
        raise ResultError(
            f"No rule '{rule}' selects {result.unit}s; there is: specialized, and important for heads."
        )
    flat = _eligibility(result, rule).reshape(len(result.languages), -1)
    for code, values in zip(result.languages, flat, strict=True):
        have = int(np.isfinite(values).sum())
        if have < count:
            more = {
                "neuron": "more active in it than on average",
                "head": "more important in it than on average",
            }
            why = more[result.unit] if rule == "specialized" else "of any importance in it"
            raise ResultError(
                f"Language '{code}' has {have} {result.unit}s that are {why}; {count} are asked for. Ask for "
                "fewer."
            )
    return np.argsort(-flat, axis=1, kind="stable")[:, :count]


def random_units(
    own: Int[np.ndarray, " count"], shape: tuple[int, int], rng: np.random.Generator
) -> Int[np.ndarray, " count"]:
    """As many units in every layer, drawn from those that are not the language's own.

    Raises:
        ResultError: A layer has fewer others than are needed.
    """
    n_layers, per_layer = shape
    drawn = []
    for layer in range(n_layers):
        taken = own[own // per_layer == layer] - layer * per_layer
        others = np.setdiff1d(np.arange(per_layer), taken)
        if len(others) < len(taken):
            raise ResultError(
                f"Layer {layer} has {per_layer} units, and {len(taken)} of them are a language's own: too "
                "few are left to draw as many at random. Ask for fewer."
            )
        drawn.append(layer * per_layer + rng.choice(others, len(taken), replace=False))
    return np.concatenate(drawn)


def _eligibility(result: UnitResult, rule: str) -> Float[np.ndarray, "language layer unit"]:
    """How much a unit is a language's own; -inf where it is not at all."""
    if isinstance(result, SpecializationResult):
        rate = result.rates
        return np.where(rate > rate.mean(axis=0), language_information(rate), -np.inf)
    assert isinstance(result, HeadsResult)
    importance = np.maximum(result.importance, 0)  # a trained mask's can be below
    if rule == "important":
        return np.where(importance > 0, importance, -np.inf)
    share = shares_of_total(importance, axis=(1, 2))
    above = share - share.mean(axis=0)
    return np.where(above > 0, above, -np.inf)
