"""What is asked: labels, what is left out and refused, and controls that mean nothing but keep the shares."""

from __future__ import annotations

import numpy as np
import pytest

from interp.errors import ConfigError, MeasurementError
from probes.tasks import UNASKED, answer_task, language_task, right_task
from tests.support.activations import fact_set

ANSWERS = ["a"] * 6 + ["b"] * 4 + ["c"] * 2 + ["d"] * 5
RELATIONS = ["r"] * 12 + ["s"] * 5


def test_the_language_is_its_column():
    task = language_task(fact_set(ANSWERS))
    assert task.labels.tolist() == [[0, 1, 2]] * 17
    assert task.classes == ("en", "sw", "ja")
    assert task.joint


def test_one_language_is_nothing_to_tell_apart():
    with pytest.raises(ConfigError, match=r"One language \(en\); a probe for the language needs at least 2"):
        language_task(fact_set(ANSWERS, languages=("en",)))


def test_answers_that_every_fold_can_have_are_asked():
    """'c' is too rare for 4 folds; 'd' is alone in its relation."""
    task = answer_task(fact_set(ANSWERS, relations=RELATIONS), 4)
    assert task.classes == ("a", "b")
    assert (task.labels == np.repeat([0, 1, UNASKED], [6, 4, 7])[:, None]).all()
    assert task.strata == task.relations == tuple(RELATIONS)
    assert task.left_out == ("7 of 17 facts, whose answer fewer than 4 groups share",)
    assert answer_task(fact_set(ANSWERS, relations=RELATIONS), 2).classes == ("a", "b", "c")


def test_facts_of_one_group_count_once():
    """Six facts of 'a', but in three groups: a class with three members."""
    groups = [f"g{min(i // 2, 3) if i < 6 else i}" for i in range(17)]
    facts = fact_set(ANSWERS, relations=RELATIONS, groups=groups)
    assert answer_task(facts, 3).classes == ("a", "b")
    with pytest.raises(
        MeasurementError,
        match=r"No relation has two answers that facts of 4 groups share, one for each fold; the most "
        r"frequent answer is "
        r"'d' of 's', in 5\. Use fewer folds, or more facts\.",
    ):
        answer_task(facts, 4)


def test_a_class_with_one_member_is_not_asked():
    facts = fact_set(["a", "a", "a", "b", "b", "c"])
    task = answer_task(facts, 2)
    assert task.classes == ("a", "b")
    assert task.left_out == ("1 of 6 facts, whose answer fewer than 2 groups share",)


def test_being_right_is_asked_where_both_sides_are_frequent():
    facts = fact_set(["a"] * 10)
    credit = np.zeros((10, 3))
    credit[:5, 0], credit[:9, 1], credit[:3, 2] = 1, 1, 1
    credit[9, 0] = 0.5  # a shared first place is not right
    task = right_task(facts, credit, 3)
    assert task.left_out == ("sw, where the model is right in 90.0% of 10 facts",)
    assert task.labels.T.tolist() == [[1] * 5 + [0] * 5, [UNASKED] * 10, [1] * 3 + [0] * 7]
    with pytest.raises(
        MeasurementError,
        match=r"No language has right and wrong answers in 6 groups of facts each \(en, where the model "
        r"is right in 50\.0% of "
        r"10 facts; sw, .*; ja, .*\)\. Use fewer folds, or more facts\.",
    ):
        right_task(facts, credit, 6)


def shares(labels: np.ndarray, relations: np.ndarray) -> list:
    return [
        sorted(labels[relations == relation, column].tolist())
        for relation in sorted(set(relations.tolist()))
        for column in range(labels.shape[1])
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_control_keeps_shares_per_relation_and_language_and_deals_whole_facts(seed):
    random = np.random.default_rng(seed)
    relations = np.array([f"r{i % 3}" for i in range(60)])
    facts = fact_set(["a"] * 60, relations=relations.tolist())
    credit = np.stack([random.random(60) < share for share in (0.3, 0.5, 0.7)], axis=1).astype(float)
    task = right_task(facts, credit, 4)
    control = task.control(seed)
    assert shares(control, relations) == shares(task.labels, relations)
    assert sorted(control.tolist()) == sorted(task.labels.tolist())
    assert 0.2 < (control != task.labels).any(axis=1).mean() < 1
    assert np.array_equal(control, task.control(seed))
    assert not np.array_equal(control, task.control(seed + 1))


def test_a_control_leaves_what_is_not_asked():
    task = answer_task(fact_set(ANSWERS, relations=RELATIONS), 4)
    assert np.array_equal(task.control(0) == UNASKED, task.labels == UNASKED)
    assert shares(task.control(0), np.array(RELATIONS)) == shares(task.labels, np.array(RELATIONS))


def test_the_control_of_languages_deals_them_anew_within_each_fact():
    task = language_task(fact_set(["a"] * 300))
    control = task.control(0)
    assert (np.sort(control, axis=1) == [0, 1, 2]).all()
    for language in range(3):
        assert np.bincount(control[:, language]) == pytest.approx([100] * 3, abs=35)
