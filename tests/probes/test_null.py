"""Where nothing can be read: scores at chance, and intervals that miss it as often as `ProbeResult` says."""

from __future__ import annotations

import numpy as np
import pytest

from interp.stats import clustered_mean
from probes.results import ProbeResult
from probes.tasks import Task, answer_task, language_task, right_task
from tests.support.activations import activations, fact_set
from tests.support.measuring import measure_probes

N, LAYERS = 48, 50


def noise_read(kind: str, seed: int, layers: int, signal: float = 0.0) -> ProbeResult:
    """A task on noise, in layers that have nothing to do with each other; with a signal, a feature per class
    tells it."""
    random = np.random.default_rng(seed)
    facts = fact_set(["a", "b", "c"] * (N // 3), languages=("en", "sw"))
    task: Task = {
        "language": lambda: language_task(facts),
        "answer": lambda: answer_task(facts, 4),
        "right": lambda: right_task(facts, (random.random((N, 2)) < 0.3).astype(float), 4),
    }[kind]()
    values = random.normal(size=(layers, N, 2, 4)) + signal * np.eye(4)[task.labels]
    return measure_probes(activations(values, facts), facts, task, folds=4, seed=seed)


def misses(curve: np.ndarray, truth: float) -> float:
    found = clustered_mean(curve.T)
    return float(np.mean((truth < found.low) | (truth > found.high)))


@pytest.mark.parametrize("kind", ["language", "answer", "right"])
def test_noise_is_read_at_chance_and_its_intervals_are_somewhat_narrow(kind):
    result, rates = noise_read(kind, 0, LAYERS), []
    for name, curve in result.curves().items():
        truth = 0 if name == "selectivity" else result.chance
        score = curve.mean(axis=1)
        assert score.mean() == pytest.approx(truth, abs=4 * score.std() / np.sqrt(LAYERS) + 0.02)
        rates.append(misses(curve, truth))
    assert 0.04 < np.mean(rates) < 0.21


@pytest.mark.parametrize("kind", ["language", "answer", "right"])
def test_what_is_read_without_fault_is_not_read_from_labels_dealt_anew(kind):
    """One draw of control labels may lie beside chance, the mean over draws may not."""
    draws = 20
    results = [noise_read(kind, seed, 1, signal=100.0) for seed in range(draws)]
    assert min(result.curves()["accuracy"].mean() for result in results) > 0.98
    score = np.array([result.curves()["control"].mean() for result in results])
    assert score.std() > 0.02
    assert score.mean() == pytest.approx(results[0].chance, abs=4 * score.std() / np.sqrt(draws) + 0.01)
