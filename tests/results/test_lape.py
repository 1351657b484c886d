"""LAPE: both published variants against nested loops, and what their arguments do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from interp.errors import ResultError
from interp.results.lape import NeuronSelection, lape_polyfact, lape_upstream
from tests.support.oracles import lape_entropy


@pytest.fixture(scope="module")
def rates() -> np.ndarray:
    values = np.random.default_rng(0).random((4, 3, 100)) ** 4
    values[:, 0, :5] = 0  # dead neurons
    values[:, 1, 7] = [0.9, 0, 0, 0]
    values[:, 1, 8] = [1e-6, 0, 0, 0]  # a single stray activation
    return values


def slow_selection(rates: np.ndarray, k: int, eligible) -> set[tuple[int, int]]:
    entropies = []
    for layer in range(rates.shape[1]):
        for neuron in range(rates.shape[2]):
            values = rates[:, layer, neuron].tolist()
            if sum(values) > 0 and eligible(values):
                entropies.append((lape_entropy(values), layer, neuron))
    return {(layer, neuron) for _, layer, neuron in sorted(entropies)[:k]}


def test_upstream_equals_nested_loops(rates):
    ordered = sorted(rates.ravel().tolist())
    bar = ordered[round(0.95 * len(ordered)) - 1]
    expected = slow_selection(rates, round(0.05 * 300), lambda v: max(v) > bar)
    found = lape_upstream(rates, share=0.05)
    assert {tuple(x) for x in np.argwhere(found.mask.any(axis=0))} == expected
    for language, layer, neuron in np.argwhere(found.mask):
        assert rates[language, layer, neuron] > bar
    for layer, neuron in expected:  # a neuron belongs to every language above the bar
        assert found.mask[:, layer, neuron].tolist() == (rates[:, layer, neuron] > bar).tolist()


def test_polyfact_equals_nested_loops(rates):
    expected = slow_selection(rates, int(0.05 * 300), lambda v: True)
    found = lape_polyfact(rates, share=0.05, smoothing=0.0 + 1e-12)
    assert {tuple(x) for x in np.argwhere(found.mask.any(axis=0))} == expected
    assert found.mask.sum() == len(expected) == 15  # one language each
    for layer, neuron in expected:
        assert found.mask[:, layer, neuron].argmax() == rates[:, layer, neuron].argmax()


def test_only_polyfact_selects_a_neuron_that_fired_once(rates):
    assert lape_polyfact(rates).mask[:, 1, 8].any()
    assert not lape_upstream(rates).mask[:, 1, 8].any()


def test_the_number_selected_is_fixed_whatever_the_model(rates):
    """Why neither can show de-specialization: nearly equal languages select as many neurons."""
    alike = 0.5 + 1e-3 * rates
    for method in (lape_upstream, lape_polyfact):
        assert method(rates, share=0.02).n_neurons == 6
    assert lape_polyfact(alike, share=0.02).n_neurons == 6


def test_knobs(rates):
    assert lape_upstream(rates, share=0.01).n_neurons == 3
    assert lape_upstream(rates, share=0.1).n_neurons == 30
    strict, loose = (lape_upstream(rates, share=0.1, activity_quantile=q).mask.sum() for q in (0.99, 0.5))
    assert strict < loose
    kept = lape_upstream(rates, share=0.1, filter_quantile=0.999).n_neurons
    assert kept < 30  # too few neurons are lively enough


def test_languages_are_named(rates):
    found = lape_upstream(rates, languages=("en", "de", "sw", "ja"))
    assert found.counts["en"] == found.mask[0].sum()
    assert sum(found.counts.values()) == found.mask.sum()


def test_reading_the_repositorys_file(tmp_path):
    file = tmp_path / "x.neurons.json"
    file.write_text('{"1": {"en": [0, 2]}, "3": {"sw": [1]}}')
    found = NeuronSelection.load_polyfact(file, ("en", "sw"), (3, 4))
    assert np.argwhere(found.mask).tolist() == [[0, 0, 0], [0, 0, 2], [1, 2, 1]]
    with pytest.raises(ResultError, match=r"layer 3, language 'sw' does not fit \(2, 4\)"):
        NeuronSelection.load_polyfact(file, ("en", "sw"), (2, 4))


def test_entropy_of_the_oracle():
    assert lape_entropy([0.2, 0.2]) == pytest.approx(math.log(2))
