"""Consistency of answers: by hand, against nested loops, laws, chance, and the published files reproduced."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from interp.errors import ResultError
from interp.results import consistency as c
from interp.results import rankc as r


def made(seed: int = 0, *, facts: int = 40, languages: int = 4, options: int = 6, ties: bool = False):
    """Scores with pools of 2 to ``options`` at scattered slots, absent ones as NaN or -inf, and gold."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(facts, languages, options))
    if ties:
        scores = np.round(scores)
    gold = np.empty(facts, dtype=int)
    for f in range(facts):
        slots = rng.permutation(options)
        n = int(rng.integers(2, options + 1))
        scores[f, :, slots[n:]] = rng.choice([np.nan, -np.inf])
        gold[f] = slots[0]
    return scores, gold


# --- oracles: one fact, one language, one position at a time --------------------------------------


def slow_order(row) -> list[int]:
    present = [i for i in range(len(row)) if not (math.isnan(row[i]) or row[i] == -math.inf)]
    return sorted(
        present, key=lambda i: row[i], reverse=True
    )  # Python's sort keeps the order of equal scores


def slow_rankc(a, b) -> float:
    first, second = slow_order(a), slow_order(b)
    n = len(first)
    norm = sum(math.exp(n - k) for k in range(1, n + 1))
    return sum(math.exp(n - j) / norm * len(set(first[:j]) & set(second[:j])) / j for j in range(1, n + 1))


def slow_credit(row, gold: int) -> float:
    present = slow_order(row)
    best = [i for i in present if row[i] == row[present[0]]]
    return 1 / len(best) if gold in best else 0.0


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_measure_equals_its_definition_with_ties_and_unequal_pools(seed, ties):
    scores, gold = made(seed, facts=120, ties=ties)
    facts, languages = range(120), range(4)
    rows = scores.tolist()
    top = [[slow_order(rows[f][a])[0] for a in languages] for f in facts]
    right = [[slow_credit(rows[f][a], gold[f]) for a in languages] for f in facts]
    assert c.pool_sizes(scores).tolist() == [len(slow_order(rows[f][0])) for f in facts]
    assert c.top_slot(scores).tolist() == top
    assert c.credit(scores, gold) == pytest.approx(np.array(right))
    slow_ties = [
        sum(rows[f][a].count(max(rows[f][a][o] for o in slow_order(rows[f][a]))) > 1 for f in facts) / 120
        for a in languages
    ]
    assert c.tie_rate(scores) == pytest.approx(slow_ties)
    assert bool(c.tie_rate(scores).any()) is ties
    assert c.agree_wrong(scores, gold).tolist() == [
        len({*top[f]}) == 1 and top[f][0] != gold[f] for f in facts
    ]
    assert c.agree_wrong(scores, gold).any()

    found, agreed = r.rankc(scores), c.pairwise_agreement(scores)
    for f, a, b in itertools.product(facts, languages, languages):
        assert found[f, a, b] == pytest.approx(slow_rankc(rows[f][a], rows[f][b]), abs=1e-12)
        assert agreed[f, a, b] == (top[f][a] == top[f][b])

    wrong = [[right[f][a] < 1 for a in languages] for f in facts]
    matrix = c.mean_over_facts(found, c.both_wrong(c.credit(scores, gold) == 1))
    for a, b in itertools.product(languages, languages):
        kept = [found[f, a, b] for f in facts if wrong[f][a] and wrong[f][b]]
        assert matrix[a, b] == pytest.approx(sum(kept) / len(kept))
    pairs = [(a, b) for a in languages for b in languages if a < b]
    assert c.pair_mean(matrix) == pytest.approx(sum(matrix[p] for p in pairs) / 6)
    assert c.pair_mean(matrix, anchor=1) == pytest.approx(sum(matrix[p] for p in pairs if 1 in p) / 3)


# --- closed forms ---------------------------------------------------------------------------------


def test_rankc_constants_of_four_options():
    assert r.rankc_weights(4) == pytest.approx([0.643914, 0.236883, 0.087144, 0.032059], abs=5e-7)
    assert r.rankc_floor(4) == pytest.approx(0.0901548, abs=5e-8)
    assert r.rankc_chance(4) == pytest.approx(0.3768368, abs=5e-8)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_floor_and_chance_are_the_minimum_and_mean_over_all_rankings(n):
    orders = np.array(list(itertools.permutations(range(n))), dtype=float)
    scores = np.stack([np.broadcast_to(orders[0], orders.shape), orders], axis=1)
    found = r.rankc(scores)[:, 0, 1]
    assert found.min() == pytest.approx(r.rankc_floor(n))
    assert found.mean() == pytest.approx(r.rankc_chance(n))
    assert found.max() == pytest.approx(1)
    assert found[-1] == found.min()  # the opposite ranking


def test_rankc_by_hand():
    """n = 3, weights e^2, e, 1 over their sum: rankings 0 1 2 and 1 0 2 differ in the first place only."""
    scores = np.array([[[3.0, 2, 1], [2, 3, 1]]])
    assert r.rankc(scores)[0, 0, 1] == pytest.approx((math.e + 1) / (math.e**2 + math.e + 1))


def test_bounds_of_unequal_pools_are_averaged_over_facts():
    floor, chance = r.rankc_bounds(np.array([4, 2, 4, 7]))
    assert floor == pytest.approx((2 * r.rankc_floor(4) + r.rankc_floor(2) + r.rankc_floor(7)) / 4)
    assert chance == pytest.approx((2 * r.rankc_chance(4) + r.rankc_chance(2) + r.rankc_chance(7)) / 4)
    assert (r.rescale(floor, floor), r.rescale(1.0, floor)) == (0, 1)
    assert r.rescale(0.75, 0.5) == 0.5


def test_credit_is_shared_by_the_tied():
    scores = np.array([[[1.0, 2, 2, 0], [2, 1, 0, 0], [5, 5, 5, 5], [2, 2, 1, 0]]])
    assert c.credit(scores, np.array([1])).tolist() == [[0.5, 0, 0.25, 0.5]]
    assert c.top_slot(scores).tolist() == [[1, 0, 0, 0]]  # the published choice
    assert c.tie_rate(scores).tolist() == [1, 0, 1, 1]


def test_counts_of_right_languages():
    correct = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 1]], dtype=bool)
    assert c.consistency_histogram(correct).tolist() == [1, 1, 1, 2]
    assert c.total_consistency(correct) == 0.4
    assert c.consistency_histogram(correct[1:3]).tolist() == [1, 1, 0, 0]  # counts that never occur are there


def test_mean_count_of_right_languages_is_their_number_times_the_mean_accuracy():
    scores, gold = made(3)
    right = c.credit(scores, gold)
    counts = c.consistency_histogram(right == 1)
    assert counts @ np.arange(5) / 40 == pytest.approx(4 * c.accuracy(right).mean())
    assert counts[-1] / 40 == c.total_consistency(right == 1)


def test_agreeing_wrong_needs_all_languages_on_one_wrong_option():
    scores = np.eye(3)[[[0, 0], [1, 1], [1, 2], [0, 1]]]
    assert c.agree_wrong(scores, np.array([0, 0, 0, 0])).tolist() == [False, True, False, False]


def test_group_means_say_how_many_of_their_languages_are_here():
    groups = {"high": ("en", "de", "ru"), "low": ("sw",), "none": ("ja",)}
    found = c.group_means(np.array([0.8, 0.2, 0.6]), ("en", "sw", "de"), groups)
    assert (found["high"].value, found["high"].n) == (pytest.approx(0.7), 2)
    assert found["low"] == c.Mean(0.2, 1)
    assert math.isnan(found["none"].value)
    assert found["none"].n == 0


def test_relations_weigh_equally_and_strata_are_means_of_their_facts():
    values, relations = (
        np.array([1.0, 1, 1, 0, np.nan]),
        ["capital", "capital", "capital", "mother", "mother"],
    )
    assert c.relation_means(values, relations) == {"capital": c.Mean(1.0, 3), "mother": c.Mean(0.0, 1)}
    assert c.relation_macro(values, relations) == c.Mean(0.5, 2)
    mask = np.array([True, False, False, True, True])
    found = c.strata(values, {"seen": mask, "unseen": ~mask})
    assert found == {"seen": c.Mean(0.5, 2), "unseen": c.Mean(1.0, 2)}


def test_mean_over_facts_of_a_mask():
    values = np.arange(12.0).reshape(3, 2, 2)
    assert c.mean_over_facts(values) == pytest.approx(values.mean(axis=0))
    assert c.mean_over_facts(values, np.array([True, False, True])) == pytest.approx(
        values[[0, 2]].mean(axis=0)
    )
    pairs = np.zeros((3, 2, 2), dtype=bool)
    pairs[1, 0, 1] = True
    found = c.mean_over_facts(values, pairs)
    assert found[0, 1] == values[1, 0, 1]
    assert np.isnan(found[1, 0])
    assert np.isnan(c.pair_mean(np.array([[1, np.nan], [np.nan, 1]])))


def test_per_fact_pair_means_average_to_that_of_the_matrix():
    found = r.rankc(made(4)[0])
    assert c.pair_mean(found).shape == (40,)
    assert c.pair_mean(found).mean() == pytest.approx(float(c.pair_mean(c.mean_over_facts(found))))
    assert c.pair_mean(found, 2).mean() == pytest.approx(float(c.pair_mean(c.mean_over_facts(found), 2)))


# --- laws -----------------------------------------------------------------------------------------


def everything(scores, gold) -> dict[str, np.ndarray]:
    return {
        "credit": c.credit(scores, gold),
        "agree_wrong": c.agree_wrong(scores, gold),
        "agreement": c.pairwise_agreement(scores),
        "rankc": r.rankc(scores),
        "pools": c.pool_sizes(scores),
    }


def test_order_of_options_facts_and_languages_does_not_matter():
    scores, gold = made(5)
    rng = np.random.default_rng(0)
    expected = everything(scores, gold)
    options = rng.permutation(6)
    moved = everything(scores[:, :, options], np.argsort(options)[gold])
    facts = rng.permutation(40)
    picked = everything(scores[facts], gold[facts])
    for name, value in expected.items():
        assert moved[name] == pytest.approx(value), name
        assert picked[name] == pytest.approx(value[facts]), name
    languages = rng.permutation(4)
    turned = everything(scores[:, languages], gold)
    assert turned["credit"] == pytest.approx(expected["credit"][:, languages])
    assert turned["agree_wrong"].tolist() == expected["agree_wrong"].tolist()
    for name in ("agreement", "rankc"):
        assert turned[name] == pytest.approx(expected[name][:, languages][:, :, languages])


@pytest.mark.parametrize("ties", [False, True])
def test_only_the_order_of_scores_counts(ties):
    scores, gold = made(6, ties=ties)
    expected = everything(scores, gold)
    scale = np.array([0.5, 1, 2, 4])[None, :, None]  # a transform of its own per language
    for name, value in everything(
        np.exp(scores) * scale + np.where(np.isneginf(scores), -np.inf, 3), gold
    ).items():
        assert value == pytest.approx(expected[name]), name


def test_absent_options_do_not_matter():
    scores, gold = made(7, options=4)
    wide = np.concatenate([scores, np.full((40, 4, 5), np.nan)], axis=2)
    for name, value in everything(wide, gold).items():
        assert value == pytest.approx(everything(scores, gold)[name]), name


def test_a_language_compared_with_itself_agrees():
    scores = made(8, ties=True)[0]
    twice = scores[:, [0, 0]]
    assert r.rankc(twice) == pytest.approx(np.ones((40, 2, 2)))
    assert (c.pairwise_agreement(twice) == 1).all()


def test_ties_rank_by_option_order_so_silent_models_agree():
    flat = np.zeros((5, 2, 4))
    assert r.rankc(flat) == pytest.approx(np.ones((5, 2, 2)))
    assert (c.pairwise_agreement(flat) == 1).all()
    assert (c.tie_rate(flat) == 1).all()


# --- null -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 4, 9])
def test_independent_rankings_score_at_chance(n):
    rng = np.random.default_rng(9)
    scores, gold = rng.random((20_000, 3, n)), rng.integers(0, n, 20_000)
    per_fact = c.pair_mean(r.rankc(scores))
    error = per_fact.std() / np.sqrt(20_000)
    assert abs(per_fact.mean() - r.rankc_chance(n)) < 4 * error
    assert c.accuracy(c.credit(scores, gold)) == pytest.approx(np.full(3, 1 / n), abs=0.015)
    assert c.agree_wrong(scores, gold).mean() == pytest.approx((n - 1) / n**3, abs=0.01)
    assert float(c.pair_mean(c.mean_over_facts(c.pairwise_agreement(scores)))) == pytest.approx(
        1 / n, abs=0.01
    )


# --- refusals -------------------------------------------------------------------------------------


def test_refusals_say_which_fact_and_what_to_do():
    scores, gold = np.zeros((3, 2, 4)), np.zeros(3, dtype=int)
    uneven = scores.copy()
    uneven[1, 0, 3] = np.nan
    for measure in (r.rankc, c.pairwise_agreement, c.top_slot, c.tie_rate):
        with pytest.raises(
            ResultError, match=r"Fact 1 has different options .*\[3, 4\] per language; 1 such"
        ):
            measure(uneven)
    single = scores.copy()
    single[2, :, 1:] = -np.inf
    with pytest.raises(ResultError, match=r"Fact 2 has 1 options, but a choice needs 2 \(1 such facts\)"):
        r.rankc(single)
    with pytest.raises(
        ResultError, match=r"Fact 0: gold is option 4, which is not in the fact's pool \(3 such"
    ):
        c.credit(scores, gold + 4)
    absent = scores.copy()
    absent[0, :, 0] = np.nan
    with pytest.raises(ResultError, match=r"Fact 0: gold is option 0, .*\(1 such facts\).*counted from 0"):
        c.credit(absent, gold)
    with pytest.raises(ResultError, match="needs 2 languages or more, but there is 1"):
        c.pair_mean(np.ones((1, 1)))


def test_truncated_items_are_those_without_any_score():
    scores = np.array([[[-1e9, -1e9, np.nan], [-1e9, -2.0, np.nan], [-3.0, -3.0, np.nan]]])
    assert c.truncated(scores).tolist() == [[True, False, False]]
    assert c.truncated(scores, at=-2.5).tolist() == [[True, False, True]]
