"""One probe: the minimum that it claims, what must not matter to it, and folds that keep groups together."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest

import probes.linear
from interp.errors import ConfigError, MeasurementError
from probes.linear import L2_GRID, balanced_accuracy, choose_l2, fit_probe, grouped_folds


def objective(x: np.ndarray, y: np.ndarray, weights: np.ndarray, bias: np.ndarray, l2: float) -> float:
    """Mean cross-entropy with every class weighing the same, and the penalty, example by example."""
    total, classes = 0.0, sorted(set(y.tolist()))
    for row, label in zip(x, y, strict=True):
        scores = [float(w @ row + b) for w, b in zip(weights, bias, strict=True)]
        below = math.log(sum(math.exp(s) for s in scores))
        share = len(y) / (len(classes) * int((y == label).sum()))
        total += share * (below - scores[classes.index(label)])
    return total / len(y) + l2 / 2 * float((weights**2).sum())


def blobs(n: int, width: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = np.sort(random.integers(classes, size=n))
    y[:classes] = np.arange(classes)
    return random.normal(size=(n, width)) + y[:, None] * random.normal(size=width), y


@pytest.mark.parametrize("l2", [0.01, 0.1, 1.0])
def test_two_points_by_hand(l2):
    """Standardized they are at -1 and 1. With weight w each loses log(1 + e^-w), so that l2 w (1 + e^w) =
    1."""
    probe = fit_probe(np.array([[3.0], [7.0]]), np.array([0, 1]), l2)
    assert (probe.mean, probe.scale) == (5, 2)
    w = float(probe.weights[1, 0] - probe.weights[0, 0])
    assert l2 * w * (1 + math.exp(w)) == pytest.approx(1, rel=1e-3)
    assert probe.bias == pytest.approx([0, 0], abs=1e-6)
    assert probe.predict(np.array([[4.9], [5.1], [99.0]])).tolist() == [0, 1, 1]


@pytest.mark.parametrize(("n", "width", "classes"), [(30, 4, 2), (40, 3, 3), (12, 30, 3), (10, 40, 2)])
def test_no_step_away_from_the_minimum_is_better(n, width, classes):
    """Also with fewer examples than features, where the fit is done in the positions of the examples."""
    x, y = blobs(n, width, classes)
    probe = fit_probe(x, y, 0.1)
    standard = (x - probe.mean) / probe.scale
    least = objective(standard, y, probe.weights, probe.bias, 0.1)
    moved = (1, 2) if classes == 2 else (0, classes)  # of two classes the first row stays zero
    random = np.random.default_rng(1)
    for _, size in itertools.product(range(20), (1e-3, 1e-2, 0.3)):
        step, lift = np.zeros_like(probe.weights), np.zeros_like(probe.bias)
        step[slice(*moved)] = size * random.normal(size=(moved[1] - moved[0], width))
        lift[slice(*moved)] = size * random.normal(size=moved[1] - moved[0])
        assert objective(standard, y, probe.weights + step, probe.bias + lift, 0.1) > least - 1e-7


def test_a_stronger_penalty_shortens_the_weights():
    x, y = blobs(40, 5, 3)
    sizes = [np.linalg.norm(fit_probe(x, y, l2).weights) for l2 in sorted(L2_GRID)]
    assert (np.diff(sizes) < 0).all()


def test_scale_and_origin_of_the_features_do_not_matter():
    x, y = blobs(40, 5, 3)
    scale, origin = np.array([0.1, 1, 100, 7, 0.2]), np.array([0, 50, -3, 90, 2])
    one, other = fit_probe(x, y, 0.1), fit_probe(x * scale + origin, y, 0.1)
    assert other.weights == pytest.approx(one.weights, abs=1e-4)
    new = np.random.default_rng(2).normal(size=(50, 5))
    assert np.array_equal(one.predict(new), other.predict(new * scale + origin))


def test_a_class_weighs_the_same_however_many_examples_it_has():
    x = np.array([[-1.0], [1.0]])
    many = np.concatenate([np.repeat(x[:1], 9, axis=0), x[1:]]), np.array([0] * 9 + [1])
    probe = fit_probe(*many, 0.1)
    boundary = probe.mean - probe.scale * (probe.bias[1] / probe.weights[1])
    assert boundary == pytest.approx(0, abs=1e-4)


def test_rounding_is_not_blown_up():
    """A feature that is constant but for its last digits tells the label by them; the other tells nothing."""
    y = np.arange(40) % 2
    x = np.stack([np.float64(np.float32(5 + 1e-6 * y)), np.random.default_rng(0).normal(size=40)], axis=1)
    assert len(np.unique(x[:, 0])) == 2
    probe = fit_probe(x, y, 0.1)
    assert balanced_accuracy(y, probe.predict(x)) < 0.8
    x[:, 0] = 5 + y
    assert balanced_accuracy(y, fit_probe(x, y, 0.1).predict(x)) == 1


def test_one_class_is_always_guessed_and_zeros_are_no_trouble():
    probe = fit_probe(np.zeros((4, 3)), np.full(4, 7), 0.1)
    assert probe.predict(np.ones((2, 3))).tolist() == [7, 7]
    flat = fit_probe(np.zeros((4, 3)), np.array([0, 1, 0, 1]), 0.1)
    assert np.isfinite(flat.weights).all()
    assert len(set(flat.predict(np.zeros((5, 3))).tolist())) == 1


def test_another_mean_takes_another_offset_off():
    x, y = blobs(40, 5, 3)
    probe, offset = fit_probe(x, y, 0.1), np.full(5, 100.0)
    moved = np.stack([x, x + offset], axis=1)
    assert not np.array_equal(probe.predict(moved)[:, 1], probe.predict(x))
    means = np.stack([probe.mean, probe.mean + offset])
    assert np.array_equal(probe.predict(moved, means), np.stack([probe.predict(x)] * 2, axis=1))


def test_a_fit_that_does_not_converge_says_so_and_warns_nobody(monkeypatch):
    x, y = blobs(60, 10, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_probe(x, y, 1e-3).converged
        monkeypatch.setattr(probes.linear, "_MOST_STEPS", 1)
        assert not fit_probe(x, y, 1e-3).converged


def test_balanced_accuracy_by_hand():
    y, guess = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 2])
    assert balanced_accuracy(y, guess) == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert balanced_accuracy(y, np.zeros(6, dtype=int)) == pytest.approx(1 / 3)


def test_the_penalty_is_the_best_of_an_inner_cross_validation():
    chosen = set()
    for seed, spread in itertools.product(range(3), (0.3, 3.0)):
        random = np.random.default_rng(seed)
        y = np.arange(36) % 2
        x = random.normal(size=(36, 20)) + spread * y[:, None] * (np.arange(20) < 2)
        groups = [f"g{i // 3}" for i in range(36)]
        folds, scores = grouped_folds(groups, 3), []
        for l2 in L2_GRID:
            guess = np.array(
                [
                    fit_probe(x[folds != fold], y[folds != fold], l2).predict(x)[i]
                    for i, fold in enumerate(folds)
                ]
            )
            scores.append(balanced_accuracy(y, guess))
        best = next(l2 for l2, score in zip(L2_GRID, scores, strict=True) if score == max(scores))
        assert choose_l2(x, y, groups) == best
        chosen.add(best)
    assert len(chosen) > 1
    assert choose_l2(x, y, ["a", "b"] * 18) == L2_GRID[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_in_one_fold_and_a_label_in_all(seed):
    random = np.random.default_rng(seed)
    groups = [f"g{i}" for i in random.integers(15, size=60)]
    labels = random.integers(2, size=60)
    folds = grouped_folds(groups, 3, labels)
    assert set(folds.tolist()) == {0, 1, 2}
    for group in set(groups):
        assert len({int(f) for f, g in zip(folds, groups, strict=True) if g == group}) == 1
    for fold in range(3):
        assert set(labels[folds == fold].tolist()) == {0, 1}


def test_labels_are_shared_out_evenly():
    labels = np.repeat([0, 1], [80, 20])
    folds = grouped_folds([f"g{i}" for i in range(100)], 5, labels)
    assert [int((labels[folds == f] == 1).sum()) for f in range(5)] == [4] * 5
    assert np.bincount(folds).tolist() == [20] * 5


def test_the_order_of_facts_does_not_decide_their_fold():
    random = np.random.default_rng(0)
    groups, labels = np.array([f"g{i // 2}" for i in range(40)]), random.integers(2, size=20).repeat(2)
    order = random.permutation(40)
    folds = grouped_folds(groups.tolist(), 4, labels)
    assert np.array_equal(grouped_folds(groups[order].tolist(), 4, labels[order]), folds[order])


def test_what_cannot_be_dealt_is_refused():
    with pytest.raises(ConfigError, match="'folds' is 1; at least 2 are needed: one is held out at a time"):
        grouped_folds(["a", "b"], 1)
    with pytest.raises(
        MeasurementError,
        match=r"6 facts in 3 groups for 4 folds; a group cannot be divided\. Use fewer folds, or more "
        r"facts\.",
    ):
        grouped_folds(["a", "b", "c"] * 2, 4)
    with pytest.raises(
        MeasurementError, match=r"Label 1 has 1 facts in 1 groups; 2 folds need one each\. Use fewer folds"
    ):
        grouped_folds(["a", "b", "c"], 2, np.array([0, 0, 1]))
