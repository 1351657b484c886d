"""Which units are a language's own, on paper; random ones stand in the same layers and are none of its
own."""

from __future__ import annotations

import numpy as np
import pytest

from interp.errors import ResultError
from interp.results.selection import default_count, random_units, top_units, unit_shape
from interp.results.specialization import language_information
from tests.support.results import heads, neurons


def test_neurons_are_those_that_are_more_active_and_tell_most():
    rates = np.full((3, 2, 4), 0.2)
    rates[:, 0, 1] = 0.9, 0.0, 0.0  # the first language's, strongly
    rates[:, 1, 3] = 0.4, 0.1, 0.1  # and weakly
    rates[:, 1, 0] = 0.0, 0.5, 0.5  # its silence tells, but it is the others'
    rates[:, 0, 2] = 0.2, 0.4, 0.4
    result = neurons(rates, seed=None)
    assert top_units(result, 2).tolist() == [[1, 7], [4, 2], [4, 2]]
    assert top_units(result.subset([0, 1]), 1).tolist() == [[1], [4], [4]]
    telling = language_information(result.rates)[0].ravel()
    assert telling[4] > telling[7]
    with pytest.raises(
        ResultError, match="Language 'en' has 2 neurons that are more active in it than on average; 3"
    ):
        top_units(result, 3)


def test_specialized_heads_have_more_than_the_mean_share_of_their_language():
    """By hand: shares of 1/6 are 3 0 1, 2 0 0 and 3 0 0, 0 2.5 0.5; both languages need the first head."""
    importance = np.array([[[3.0, 0, 1], [2, 0, 0]], [[6, 0, 0], [0, 5, 1]]])
    assert top_units(heads(importance), 2).tolist() == [[3, 2], [4, 5]]
    importance[1] *= 100  # a language in which every head matters more
    assert top_units(heads(importance), 2).tolist() == [[3, 2], [4, 5]]
    with pytest.raises(
        ResultError, match="Language 'en' has 2 heads that are more important in it than on average; 3 are"
    ):
        top_units(heads(importance), 3)
    importance[1] = 0
    with pytest.raises(ResultError, match="Language 'sw' has 0 heads that are more important"):
        top_units(heads(importance), 1)


def test_important_heads_are_taken_whomever_else_they_serve():
    importance = np.array([[[3.0, 0, 1], [2, 0, 0]], [[4, 0, 0], [0, 5, 0]]])
    result = heads(importance)
    assert top_units(result, 2, "important").tolist() == [[0, 3], [4, 0]]
    with pytest.raises(
        ResultError, match="Language 'sw' has 2 heads that are of any importance in it; 3 are asked"
    ):
        top_units(result, 3, "important")
    assert top_units(heads(importance[:1]), 3, "important").tolist() == [[0, 3, 2]]


def test_equal_units_are_taken_by_position():
    assert top_units(heads(np.ones((2, 2, 3))), 4, "important").tolist() == [[0, 1, 2, 3]] * 2


def test_a_rule_that_does_not_apply_is_refused():
    with pytest.raises(ResultError, match="No rule 'important' selects neurons; there is: specialized, and"):
        top_units(neurons(np.full((2, 1, 2), 0.2), seed=None), 1, "important")
    with pytest.raises(ResultError, match="No rule 'general' selects heads"):
        top_units(heads(np.ones((2, 2, 3))), 1, "general")


def test_random_units_match_the_layers_and_avoid_the_own_ones():
    own = np.array([0, 1, 5, 13, 14])  # two, one and two of three layers of five
    drawn = [random_units(own, (3, 5), np.random.default_rng(seed)) for seed in range(300)]
    counts = np.bincount(np.concatenate(drawn), minlength=15)
    for units in drawn:
        assert sorted((units // 5).tolist()) == sorted((own // 5).tolist())
        assert len(set(units.tolist())) == len(own)
        assert not set(units.tolist()) & set(own.tolist())
    assert (counts[[2, 3, 4]] > 150).all()  # 200 each
    assert (counts[[6, 7, 8, 9]] > 50).all()  # 75 each


def test_a_layer_without_enough_others_is_named():
    with pytest.raises(
        ResultError, match="Layer 1 has 4 units, and 3 of them are a language's own: too few are left"
    ):
        random_units(np.array([0, 4, 5, 6]), (2, 4), np.random.default_rng(0))


def test_the_default_is_a_share_of_all_units():
    assert default_count(neurons(np.full((2, 4, 300), 0.5))) == 12
    assert default_count(heads(np.ones((2, 4, 25)))) == 2
    assert default_count(heads(np.ones((2, 1, 4)))) == 1
    assert unit_shape(heads(np.ones((2, 4, 25)))) == (4, 25)
