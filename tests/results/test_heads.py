"""Head scores: closed forms and set arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from interp.errors import ResultError
from interp.results.heads import importance_information, pairwise_overlap, top_heads
from tests.support.oracles import mutual_information
from tests.support.results import heads


def test_information_of_known_shares():
    share = np.array([[0.5, 0.2, 0.0], [0.5, 0.0, 0.0], [0.5, 0.0, 0.0]])
    assert importance_information(share) == pytest.approx([0, np.log(3), 0])


def test_weighted_by_shares_it_is_the_mutual_information_of_language_and_head():
    share = np.random.default_rng(0).random((4, 6))
    share /= share.sum(axis=1, keepdims=True)
    weights = share.mean(axis=0)
    assert (importance_information(share) * weights).sum() == pytest.approx(
        mutual_information((share / 4).tolist())
    )


def test_the_mean_over_heads_is_the_mutual_information():
    importance = np.random.default_rng(0).random((4, 2, 3))
    result = heads(importance)
    share = (importance / importance.sum(axis=(1, 2), keepdims=True)).reshape(4, 6)
    assert result.overall.value == pytest.approx(mutual_information((share / 4).tolist()))


def test_a_head_that_mattered_in_one_item_is_not_specialized():
    result = heads(np.full((3, 1, 8), 100.0))
    result.magnitude[:, :, 0, 3] = 0
    result.helpful[:, :, 0, 3] = 0
    result.magnitude[1, 2, 0, 3], result.helpful[1, 2, 0, 3] = 0.1, 1
    assert importance_information(result.activity(np.ones(8, bool)))[0, 3] == pytest.approx(np.log(3))
    assert abs(result.scores.value[0, 3]) < 0.01
    assert abs(result.overall.value) < 0.001


def test_the_size_of_a_languages_loss_does_not_matter():
    importance = np.random.default_rng(0).random((3, 2, 4))
    louder = importance * np.array([1, 50, 1])[:, None, None]
    assert heads(louder).scores.value == pytest.approx(heads(importance).scores.value)


def test_importance_has_the_published_scale():
    importance = np.random.default_rng(0).random((3, 2, 4))
    assert heads(importance).importance == pytest.approx(importance)


def test_top_heads_and_overlap():
    importance = np.array([[[5, 4, 1, 0]], [[5, 0, 4, 1]], [[0, 0, 2, 3]]], dtype=float)
    mask = top_heads(importance, 2)
    assert mask[:, 0].tolist() == [
        [True, True, False, False],
        [True, False, True, False],
        [False, False, True, True],
    ]
    assert pairwise_overlap(mask) == pytest.approx(np.array([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]))


def test_equal_importance_is_broken_by_position():
    assert top_heads(np.ones((1, 2, 3)), 2)[0].ravel().tolist() == [True, True, False, False, False, False]


def test_layer_profile_sums_to_one():
    result = heads(np.random.default_rng(0).random((3, 5, 40)))
    assert result.default_k == 4
    assert result.layer_profile().sum(axis=1) == pytest.approx([1, 1, 1])
    assert result.layer_profile()[0] * 4 == pytest.approx(result.selected()[0].sum(axis=1))


def test_general_heads_are_above_the_bar_in_enough_languages():
    importance = np.random.default_rng(0).random((3, 5, 20))
    importance[:, 2, 3] = 10
    importance[:2, 4, 4] = 9
    result = heads(importance)
    assert np.argwhere(result.general(at_least=3)).tolist() == [[2, 3]]
    assert np.argwhere(result.general(at_least=2)).tolist() == [[2, 3], [4, 4]]
    with pytest.raises(ResultError, match="at_least=11, but the result has 3 languages"):
        result.general()
