"""The ablation matrix by hand, and a test of its diagonal that rejects at its stated rate."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from analyses.comparison import compare
from interp.errors import ResultError
from interp.results import load_result
from interp.results.ablation import AblationResult, own_above_other
from interp.stats import diagonal_p
from tests.support.results.ablation import ablation_result, noise


def test_the_matrix_is_harm_beyond_random_by_hand():
    lost, random = noise(seed=1), np.stack([noise(seed=2), noise(seed=3)])
    result = ablation_result(lost, random)
    for a, b in itertools.product(range(3), repeat=2):
        expected = np.mean([lost[a, f, b] - (random[0, a, f, b] + random[1, a, f, b]) / 2 for f in range(40)])
        assert result.matrix()[a, b] == pytest.approx(expected)
    assert result.draws == 2
    frame = result.to_frame().set_index(["harm", "units_of", "language"])
    row = frame.loc["loss", "sw", "ja"]
    assert row.removed == pytest.approx(lost[1, :, 2].mean())
    assert row.random == pytest.approx(random[:, 1, :, 2].mean())
    assert row.low < row.beyond_random < row.high


def test_own_above_other_is_the_mean_of_the_diagonal_minus_the_rest():
    matrix = np.array([[5.0, 1, 2], [3, 7, 4], [0, 2, 9]])
    assert own_above_other(matrix[:, None]).tolist() == [7 - 12 / 6]
    turned = matrix + np.array([10.0, 20, 30])  # frail languages
    assert own_above_other(turned[:, None])[0] == pytest.approx(5)
    turned = matrix + np.array([[10.0], [20], [30]])  # harmful sets
    assert own_above_other(turned[:, None])[0] == pytest.approx(5)


def test_quantities_are_of_the_own_language_the_others_and_random_units():
    lost = np.zeros((3, 4, 3))
    lost[[0, 1, 2], :, [0, 1, 2]] = 0.9
    lost[0, :, 1] = 0.3
    found = ablation_result(lost, np.full((2, 3, 4, 3), 0.1)).quantities()
    assert found["nats lost: own language"] == pytest.approx(np.full(4, 0.8))
    assert found["nats lost: other languages"] == pytest.approx(np.full(4, 0.3 / 6 - 0.1))
    assert found["nats lost: own above other"] == pytest.approx(np.full(4, 0.9 - 0.05))
    assert found["nats lost: random units"] == pytest.approx(np.full(4, 0.1))
    assert found["accuracy lost: own language"] == pytest.approx(np.ones(4))  # 0.9 turns every answer
    assert found["accuracy lost: own above other"] == pytest.approx(np.ones(4))


def test_ties_share_the_credit():
    result = ablation_result(np.zeros((3, 4, 3)))
    result.scores[0, 1, 2, 0] = -1.0  # all four options alike
    assert result.harms("accuracy")[0, 1, 2, 0] == pytest.approx(0.75)
    with pytest.raises(ResultError, match=r"No harm 'los'. Did you mean 'loss'\?"):
        result.harms("los")


@pytest.mark.parametrize("n", [2, 3, 4])
def test_p_is_the_share_of_orders_that_reach_the_diagonal(n):
    matrix = np.random.default_rng(n).normal(size=(n, n))
    sums = [sum(matrix[order[i], i] for i in range(n)) for order in itertools.permutations(range(n))]
    expected = np.mean([s >= np.trace(matrix) - 1e-9 for s in sums])
    assert diagonal_p(matrix) == (pytest.approx(expected), 1 / math.factorial(n))
    assert diagonal_p(np.eye(n))[0] == 1 / math.factorial(n)
    assert diagonal_p(np.zeros((n, n)))[0] == 1.0


def test_many_languages_are_tested_by_random_orders():
    p, least = diagonal_p(np.eye(12) + 0.01 * np.random.default_rng(0).normal(size=(12, 12)))
    assert p == least == 1 / 5040
    assert diagonal_p(np.random.default_rng(1).normal(size=(12, 12)))[0] > 0.01


def test_matrices_without_a_diagonal_are_rejected_at_the_stated_rate():
    """1,000 matrices of 5 languages, some languages frail and some sets harmful: p <= 0.05 in about 50."""
    rng = np.random.default_rng(4)
    p = [
        diagonal_p(3 * rng.normal(size=(5, 1)) + 3 * rng.normal(size=(1, 5)) + rng.normal(size=(5, 5)))[0]
        for _ in range(1000)
    ]
    assert 30 <= sum(value <= 0.05 for value in p) <= 70
    assert 450 <= sum(value <= 0.5 for value in p) <= 550


def test_facts_without_a_diagonal_leave_the_interval_at_zero_at_its_rate():
    outside = 0
    for seed in range(200):
        found = ablation_result(noise(n_facts=60, seed=seed)).dominance()
        outside += not found.low <= 0 <= found.high
    assert 3 <= outside <= 19  # about 10


def test_a_dominant_diagonal_is_found():
    lost = noise()
    lost[[0, 1, 2], :, [0, 1, 2]] += 0.2
    found = ablation_result(lost).dominance()
    assert found.value == pytest.approx(0.2, abs=0.05)
    assert found.low > 0.1
    assert found.p == found.least_p == pytest.approx(1 / 6)


def test_nothing_lost_is_nothing_found():
    result = ablation_result(np.zeros((3, 10, 3)))
    for kind in ("loss", "accuracy"):
        found = result.dominance(kind)
        assert (found.value, found.p) == (0, 1)
    assert np.isnan([result.dominance().low, result.dominance().high]).all()  # no fact differs from another


def test_few_groups_and_a_model_with_nothing_to_lose_are_doubted():
    assert ablation_result(noise(n_facts=40)).diagnostics() == []
    (few,) = ablation_result(noise(n_facts=38)).diagnostics()
    assert few.startswith("38 facts in 19 clusters: with fewer than 20 clusters")
    result = ablation_result(noise(n_facts=60))
    ignorant = replace(result, intact_scores=np.zeros(result.intact_scores.shape))
    (guess,) = ignorant.diagnostics()
    assert guess.startswith(
        "The intact model is not above chance (0.250 of 0.250; 0.058 more would have been"
    )


def test_languages_that_have_the_same_units_are_doubted():
    result = ablation_result(noise(n_facts=60))
    assert result.shared_units() == 0
    result.removed[:, 0] = [[0, 1, 2, 3, 4], [0, 1, 2, 5, 6], [0, 1, 2, 5, 7]]  # 3, 3 and 4 of 5
    result.removed[1, 0, 2] = [0, 1, 2, 3, 4]  # in the other half 3, 5 and 3
    assert result.shared_units() == pytest.approx((3 + 3 + 4 + 3 + 5 + 3) / 30)
    (same,) = result.diagnostics()
    assert same.startswith("A language has 70% of its neurons in common with another one on average")


def test_it_is_saved_compared_and_said(tmp_path):
    result = ablation_result(noise())
    again = load_result(result.save(tmp_path / "r.npz"))
    assert isinstance(again, AblationResult)
    assert repr(again) == repr(result)
    assert "5 neurons per language set to zero, 40 facts, 1 random draws" in repr(result)
    assert "labels exchanged p = " in repr(result)
    other = ablation_result(noise() + 0.3 * np.eye(3)[:, None], name="b")
    table = compare(result, other).table.set_index("quantity")
    assert table.change["nats lost: own above other"] == pytest.approx(0.3)
    assert table.holm["nats lost: own above other"] < 0.01
    assert np.isnan(table.low["nats lost: own above other"])  # as much in every fact
    with pytest.raises(ResultError, match="facts or languages differ"):
        compare(result, replace(other, languages=("en", "sw", "zh")))
