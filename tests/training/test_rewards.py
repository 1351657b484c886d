"""Rewards: hand-computed examples, slow definitions, laws, and that silence never pays."""

import itertools

import numpy as np
import pytest

from interp.errors import ConfigError, DataError
from training.rewards import LADDER, advantages, bonus, consistency_rewards, group_rewards
from training.scores import Scores

SHAPES = {
    "none": {},
    "all_or_nothing": {},
    "power": {"power": 4.0},
    "ladder": {"ladder": {2: 1.0, 3: 5.0}},
}


# bonus


def test_bonus_by_hand():
    k = np.arange(13)
    assert bonus(k, 12, "none").tolist() == [0.0] * 13
    assert bonus(k, 12).tolist() == [0.0] * 12 + [1.0]
    assert bonus(k, 12, "power")[[3, 6, 9, 12]] == pytest.approx([0.25**4, 0.5**4, 0.75**4, 1])
    assert bonus(k, 12, "ladder").tolist() == [0] * 9 + [1, 2, 3, 5]
    other = {6: 1, 8: 2, 10: 3, 12: 5}
    assert bonus(k, 12, "ladder", ladder=other).tolist() == [0] * 6 + [1, 1, 2, 2, 3, 3, 5]
    assert float(bonus(12, 12, "power", size=3)) == 3
    assert float(bonus(6, 12, "power", size=3, power=2)) == 0.75
    assert float(bonus(12, 12, size=7)) == 7


@pytest.mark.parametrize("n_languages", [2, 5, 12])
def test_the_power_bonus_is_convex_and_never_zero(n_languages):
    values = bonus(np.arange(n_languages + 1), n_languages, "power")
    assert values[0] == 0
    assert (values[1:] > 0).all()
    assert (np.diff(values, n=2) > 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": "ladders"}, "Unknown bonus shape 'ladders'. Did you mean 'ladder'"),
        ({"size": -1.0}, "size of the bonus is -1.0"),
        ({"shape": "power", "power": 0.0}, "power of the bonus is 0.0"),
        ({"shape": "ladder"}, r"rungs at \[9, 10, 11, 12\]; with 4 languages they must be from 1 to 4"),
        ({"shape": "ladder", "ladder": {}}, "rungs at"),
        ({"shape": "ladder", "ladder": {0: 1.0}}, "rungs at"),
        ({"shape": "ladder", "ladder": {1: 2.0, 3: 1.0}}, "not fall with the rungs"),
        ({"shape": "ladder", "ladder": {1: -2.0}}, "0 or more"),
    ],
)
def test_bonus_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        bonus(1, 4, **settings)


def test_more_right_languages_than_asked_are_refused():
    with pytest.raises(DataError, match="Right in 1 to 5 languages, of 4"):
        bonus(np.array([1, 5]), 4)


# rewards


def test_group_rewards_by_hand():
    """Twelve languages: all right; 9 right, 2 other, 1 empty; 6 right, 6 unresolved; all empty."""
    scores = np.array([[1.0] * 12, [1.0] * 9 + [0, 0, -1], [1.0] * 6 + [-0.5] * 6, [-1.0] * 12])
    correct = scores == 1
    assert group_rewards(scores, correct, "none").tolist() == [12, 8, 3, -12]
    assert group_rewards(scores, correct).tolist() == [13, 8, 3, -12]
    assert group_rewards(scores, correct, "ladder").tolist() == [17, 9, 3, -12]
    assert group_rewards(scores, correct, "power", size=2).tolist() == [14, 8.6328125, 3.125, -12]
    assert group_rewards(scores, correct, "power", power=1).tolist() == [13, 8.75, 3.5, -12]
    assert group_rewards(scores, correct, "ladder", ladder={6: 2}).tolist() == [14, 10, 5, -12]
    assert LADDER == {9: 1, 10: 2, 11: 3, 12: 5}


def test_tables_of_different_shape_are_refused():
    with pytest.raises(DataError, match=r"shape \(2, 3\) and correctness \(2, 2\)"):
        group_rewards(np.zeros((2, 3)), np.zeros((2, 2), bool))


def every_rollout(given):
    """All rollouts of three languages, by score, and where they are right."""
    rollouts = np.array(list(itertools.product(given.values(), repeat=3)))
    return rollouts, rollouts == given["correct"]


@pytest.mark.parametrize("scores", [Scores(), Scores(wrong_language=-0.75), Scores(3, 2, 2, 1.9)])
@pytest.mark.parametrize("shape", SHAPES)
def test_silence_is_the_worst_of_all_rollouts(scores, shape):
    rollouts, correct = every_rollout(scores.given)
    rewards = group_rewards(rollouts, correct, shape, **SHAPES[shape])
    silent = (rollouts == scores.empty).all(axis=1)
    assert silent.sum() == 1
    assert (rewards[~silent] > rewards[silent]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_one_voice_leads_a_silent_group_out(shape):
    scores = Scores()
    rollouts, correct = every_rollout(scores.given)
    for voice, right in zip(rollouts, correct, strict=True):
        if (voice == scores.empty).all():
            continue
        group = np.full((8, 3), scores.empty)
        group[5] = voice
        hits = np.zeros((8, 3), bool)
        hits[5] = right
        found = advantages(group_rewards(group, hits, shape, **SHAPES[shape]))
        assert found[5] > 0 > np.delete(found, 5).max()


# consistency


def slow_consistency(row, gold, anchor, size):
    n = len(row)
    right = sum(entity == gold for entity in row) / n
    pairs = sum(row[i] == row[j] >= 0 for i in range(n) for j in range(n) if i != j)
    return size * (anchor * right + (1 - anchor) * pairs / (n * (n - 1)))


def test_consistency_by_hand():
    choice = np.array([[0, 0, 0, 0], [0, 0, 1, -1], [1, 1, 1, 1], [0, 1, 2, 3], [-1, -1, -1, -1]])
    found = consistency_rewards(choice, 0)
    assert found == pytest.approx([1, 0.75 / 2 + 0.25 / 6, 0.25, 0.75 / 4, 0])
    assert consistency_rewards(choice, 0, anchor=0).tolist() == pytest.approx([1, 1 / 6, 1, 0, 0])
    assert consistency_rewards(choice, 0, anchor=1).tolist() == [1, 0.5, 0, 0.25, 0]
    assert consistency_rewards(choice, 0, size=6) == pytest.approx(6 * found)


@pytest.mark.parametrize("anchor", [0.0, 0.3, 0.75, 1.0])
def test_consistency_equals_its_definition_and_stays_in_range(anchor):
    choice = np.random.default_rng(0).integers(-1, 4, size=(200, 12))
    found = consistency_rewards(choice, 2, anchor=anchor, size=3.0)
    assert found == pytest.approx([slow_consistency(row, 2, anchor, 3.0) for row in choice.tolist()])
    assert (found >= 0).all()
    assert (found <= 3).all()


def gain_of_turning_to_gold(anchor):
    """The least gain of a language from a wrong entity, and from none, to the right one; all rollouts."""
    every = np.array(list(itertools.product([-1, 0, 1, 2], repeat=4)))
    every = every[every[:, 0] != 0]
    turned = every.copy()
    turned[:, 0] = 0
    gain = consistency_rewards(turned, 0, anchor=anchor) - consistency_rewards(every, 0, anchor=anchor)
    wrong = every[:, 0] > 0
    return gain[wrong].min(), gain[~wrong].min()


def test_being_right_pays_when_the_anchor_holds():
    assert min(gain_of_turning_to_gold(0.75)) > 0
    assert min(gain_of_turning_to_gold(2 / 3 + 0.001)) > 0
    wrong, none = gain_of_turning_to_gold(0.6)
    assert wrong < 0 < none  # leaving a unanimous wrong answer costs


def test_agreement_pays_and_names_do_not_matter():
    branching = np.array([[1, 2, 3, -1], [1, 1, 2, -1], [1, 1, 1, -1], [1, 1, 1, 1]])
    assert (np.diff(consistency_rewards(branching, 0)) > 0).all()
    choice = np.random.default_rng(1).integers(-1, 4, size=(50, 5))
    renamed = np.array([7, 9, 0, 3, -1])[choice]  # -1 takes the last
    assert consistency_rewards(renamed, 9) == pytest.approx(consistency_rewards(choice, 1))
    assert consistency_rewards(choice[:, ::-1], 1) == pytest.approx(consistency_rewards(choice, 1))


@pytest.mark.parametrize(
    ("choice", "gold", "settings", "error", "message"),
    [
        ([[0], [1]], 0, {}, DataError, "agreement needs two languages or more"),
        ([[0, -2]], 0, {}, DataError, "a number is lower"),
        ([[0, 1]], -1, {}, DataError, "a number is lower"),
        ([[0, 1]], 0, {"anchor": 1.5}, ConfigError, "Anchor 1.5 must be 0 to 1"),
        ([[0, 1]], 0, {"size": -1.0}, ConfigError, "size -1.0"),
    ],
)
def test_consistency_refuses(choice, gold, settings, error, message):
    with pytest.raises(error, match=message):
        consistency_rewards(np.array(choice), gold, **settings)
