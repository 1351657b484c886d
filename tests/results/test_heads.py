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


def test_heads_without_importance_are_nobodys_top_heads():
    """Two languages in which nothing matters do not share heads 0 to 19, and have no most important one."""
    importance = np.zeros((4, 2, 50))
    importance[0, 1, :30] = np.arange(1, 31)
    importance[3, 1, 28:31] = 5
    mask = top_heads(importance, 20)
    assert mask.sum(axis=(1, 2)).tolist() == [20, 0, 0, 3]
    overlap = pairwise_overlap(mask)
    assert np.isnan(overlap[1]).all()
    assert np.isnan(overlap[2]).all()
    assert overlap[0, 3] == overlap[3, 0] == pytest.approx(2 / 20)
    assert overlap[0, 0] == overlap[3, 3] == 1
    result = heads(importance)
    assert np.isnan(result.mean_overlap()[[1, 2]]).all()
    assert result.by_language().top_head.tolist() == ["1.29", "-", "-", "1.28"]
    assert np.isnan(result.layer_profile()[1]).all()


def test_a_language_without_importance_has_no_score_rather_than_no_weight():
    importance = np.random.default_rng(0).random((3, 2, 6))
    importance[1] = 0
    silent = heads(importance)
    assert np.isnan(silent.overall.value)
    (said,) = silent.diagnostics()
    assert said.startswith("The heads' mean specialization is not a number in layers 0, 1")


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_magnitudes_that_are_no_numbers_are_refused(odd):
    result = heads(np.random.default_rng(0).random((3, 2, 6)))
    result.magnitude[1, 2, 0, 3] = odd
    for ask in (lambda: result.overall, result.selected, result.by_language, lambda: result.importance):
        with pytest.raises(ResultError, match=r"1 of 288 head magnitudes are not numbers \(in sw\)"):
            ask()
    with pytest.raises(ResultError, match="importance of 1 heads is not a number"):
        top_heads(np.array([[[1.0, np.nan]]]), 1)
