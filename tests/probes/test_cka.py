"""Linear CKA: closed forms, the definition by loops, both ways to compute it, and what it is where nothing
corresponds."""

from __future__ import annotations

import numpy as np
import pytest

import probes.cka
from probes.cka import cka_of_all, linear_cka


def cloud(n: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width))


def turned(x: np.ndarray, seed: int = 9) -> np.ndarray:
    rotation, _ = np.linalg.qr(cloud(x.shape[1], x.shape[1], seed))
    return x @ rotation


def by_loops(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)) of centered linear kernels, entry by entry."""
    n = len(x)

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        kernels = [[[float(v[i] @ v[j]) for j in range(n)] for i in range(n)] for v in (a, b)]
        middle = [[(i == j) - 1 / n for j in range(n)] for i in range(n)]
        k, other = (np.array(middle) @ np.array(kernel) @ np.array(middle) for kernel in kernels)
        return float(sum(k[i, j] * other[i, j] for i in range(n) for j in range(n)))

    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


@pytest.mark.parametrize(("n", "width"), [(50, 6), (10, 30)])
def test_rotation_scale_and_place_do_not_matter(n, width):
    x, y = cloud(n, width, 0), cloud(n, width, 1) + cloud(n, width, 0)
    assert linear_cka(x, -7 * turned(x) + 3) == pytest.approx(1)
    assert linear_cka(turned(x, 3) + 100, 0.01 * y) == pytest.approx(linear_cka(x, y))
    assert linear_cka(y, x) == pytest.approx(linear_cka(x, y))
    assert 0.1 < linear_cka(x, y) < 0.99


def test_one_feature_each_gives_the_squared_correlation():
    x, y = np.array([[0.0], [1], [2], [3]]), np.array([[1.0], [0], [3], [2]])
    assert linear_cka(x, y) == pytest.approx(0.6**2)
    assert linear_cka(x, -y) == pytest.approx(0.6**2)
    assert linear_cka(x, np.array([[1.0], [-1], [-1], [1]])) == pytest.approx(0)


def test_more_features_that_say_nothing_lower_it():
    """x has one of the two equally large, uncorrelated features of y: 1 / sqrt(2)."""
    y = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert linear_cka(y[:, :1], y) == pytest.approx(1 / np.sqrt(2))


@pytest.mark.parametrize(("n", "widths"), [(12, (3, 5)), (6, (9, 4)), (5, (20, 20))])
def test_it_equals_the_definition_by_loops(n, widths):
    x, y = cloud(n, widths[0], 0), cloud(n, widths[1], 1)
    assert linear_cka(x, y) == pytest.approx(by_loops(x, y))


def test_of_a_constant_cloud_there_is_none():
    x = cloud(20, 4, 0)
    assert np.isnan(linear_cka(x, np.full((20, 4), 0.1)))
    assert np.isnan(linear_cka(x, np.full((20, 4), 0.1) + 1e-9 * cloud(20, 4, 1)))
    assert np.isnan(linear_cka(np.zeros((20, 4)), x))


@pytest.mark.parametrize(("n", "p", "q"), [(200, 10, 10), (100, 50, 5), (30, 200, 200)])
def test_of_independent_clouds_it_is_its_bias(n, p, q):
    """With m = n - 1, E|Y'X|^2 = m p q and E|X'X|^2 = m p (m + p + 1): near 1 for many more features than
    facts."""
    m = n - 1
    expected = np.sqrt(p * q / ((m + p + 1) * (m + q + 1)))
    found = [linear_cka(cloud(n, p, 2 * seed), cloud(n, q, 2 * seed + 1)) for seed in range(60)]
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(60))
    x = cloud(n, p, 99)
    _, shuffled = cka_of_all([x, turned(x)])
    assert shuffled[0, 1] == pytest.approx(np.sqrt(p * p / ((m + p + 1) ** 2)), rel=0.3)


@pytest.mark.parametrize(("n", "width"), [(40, 6), (12, 30)])
def test_a_facts_value_is_its_influence(n, width):
    """CKA of a cloud in which one fact weighs a little more, against its derivative."""
    x, y = cloud(n, width, 0), cloud(n, width, 1) + cloud(n, width, 0) + 5

    def weighed(weights: np.ndarray) -> float:
        one, other = (np.sqrt(weights)[:, None] * (v - weights @ v / weights.sum()) for v in (x, y))
        norms = [np.linalg.norm(a.T @ b) for a, b in ((one, other), (one, one), (other, other))]
        return norms[0] ** 2 / (norms[1] * norms[2])

    values, _ = cka_of_all([x, y])
    assert weighed(np.ones(n)) == pytest.approx(linear_cka(x, y))
    for fact in range(n):
        step = 1e-5 * (np.arange(n) == fact)
        slope = (weighed(1 + step) - weighed(1 - step)) / 2e-5
        assert values[0, 1, fact] == pytest.approx(linear_cka(x, y) + n * slope, rel=1e-6)
        assert values[1, 0, fact] == pytest.approx(values[0, 1, fact])
    assert values[0, 0] == pytest.approx(np.ones(n))


def test_its_spread_over_samples_is_what_the_values_say():
    """The standard error from the values of one sample, against the spread of CKA over many samples."""
    found = []
    for seed in range(60):
        x = cloud(150, 6, 2 * seed) * np.arange(1, 7)
        found.append(cka_of_all([x, x + 3 * cloud(150, 6, 2 * seed + 1)])[0][0, 1])
    errors = [values.std() / np.sqrt(150) for values in found]
    assert np.mean(errors) == pytest.approx(np.std([values.mean() for values in found]), rel=0.25)


def test_by_facts_and_by_features_are_the_same(monkeypatch):
    vectors = [cloud(15, 20, seed) + 3 for seed in range(3)]
    by_facts = cka_of_all(vectors)
    monkeypatch.setattr(probes.cka, "_by_facts", probes.cka._by_features)
    for one, other in zip(by_facts, cka_of_all(vectors), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_the_order_of_facts_does_not_matter():
    x, y = cloud(30, 5, 0), cloud(30, 5, 0) + cloud(30, 5, 1)
    order = np.random.default_rng(3).permutation(30)
    assert linear_cka(x[order], y[order]) == pytest.approx(linear_cka(x, y))
    assert linear_cka(x[order], y) < 0.5 * linear_cka(x, y)
