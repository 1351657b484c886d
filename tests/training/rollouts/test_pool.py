"""Pooling: rewards and advantages on written-out tables, torn facts, and silence."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from interp.errors import ConfigError, MeasurementError
from tests.support.extras import needed

needed("trl")
from training.methods import GrpoConfig  # noqa: E402
from training.rollouts.pool import RewardRule, Rollouts, pool  # noqa: E402

# two languages x three rollouts; the right entity is 0
SCORE = np.array([[1.0, 0.0, 1.0], [1.0, -0.5, -1.0]])
ENTITY = np.array([[0, 2, 0], [0, -1, -1]])


def table(score=SCORE, entity=ENTITY, gold=0, **changes) -> Rollouts:
    """One fact, its cells in the order [language, rollout]."""
    languages, generations = score.shape
    cells = {
        "fact": np.zeros(score.size, int),
        "language": np.repeat(np.arange(languages), generations),
        "score": score.reshape(-1),
        "correct": (entity == gold).reshape(-1),
        "entity": entity.reshape(-1),
        "gold": np.full(score.size, gold),
        "in_language": np.ones(score.size, bool),
    }
    return Rollouts(**(cells | changes))


def joined(*facts: Rollouts) -> Rollouts:
    """Facts one after the other."""
    names = ("language", "score", "correct", "entity", "gold", "in_language")
    numbers = np.concatenate([np.full(len(f.fact), n) for n, f in enumerate(facts)])
    return Rollouts(numbers, **{n: np.concatenate([getattr(f, n) for f in facts]) for n in names})


def relative(rewards) -> np.ndarray:
    mean = sum(rewards) / len(rewards)
    deviation = (sum((r - mean) ** 2 for r in rewards) / len(rewards)) ** 0.5
    return np.array([(r - mean) / (deviation + 1e-6) for r in rewards])


def test_group_by_hand():
    """Sums 2, -0.5, 0; the first rollout is right in both languages and gets the bonus of 1: 3, -0.5, 0."""
    rewards, advantages = pool(table(), 2, 3, RewardRule(GrpoConfig()))
    assert rewards.tolist() == [3, -0.5, 0] * 2
    expected = np.array([13, -8, -5]) / 6 / (np.sqrt(258 / 108) + 1e-6)
    assert advantages == pytest.approx(np.tile(expected, 2))


def test_per_lang_by_hand():
    """Scores 1, 0, 1 and 1, -0.5, -1: no language knows of the other, and there is no bonus."""
    rewards, advantages = pool(table(), 2, 3, RewardRule(GrpoConfig(pooling="per_lang")))
    assert rewards.tolist() == [1, 0, 1, 1, -0.5, -1]
    first = np.array([1, -2, 1]) / 3 / (np.sqrt(2) / 3 + 1e-6)
    second = np.array([7, -2, -5]) / 6 / (np.sqrt(26 / 36) + 1e-6)
    assert advantages == pytest.approx(np.concatenate([first, second]))


def test_consistency_by_hand():
    """Agreement 4 (0.75 right / 2 + 0.25 [both name the same]): 4, 0, 1.5 on top of 3, -0.5, 0."""
    rewards, advantages = pool(table(), 2, 3, RewardRule(GrpoConfig(pooling="consistency")))
    assert rewards.tolist() == [7, -0.5, 1.5] * 2
    assert advantages == pytest.approx(np.tile(relative([7, -0.5, 1.5]), 2))
    rewards, _ = pool(table(), 2, 3, RewardRule(GrpoConfig(pooling="consistency", anchor=0.0, agreement=2.0)))
    assert rewards.tolist() == [5, -0.5, 0] * 2


def test_facts_are_pooled_each_on_its_own():
    rng = np.random.default_rng(0)
    facts = [
        table(rng.choice([1.0, 0.0, -0.5], (2, 3)), rng.integers(-1, 3, (2, 3)), gold) for gold in (0, 2, 1)
    ]
    for pooling in ("group", "per_lang", "consistency"):
        rule = RewardRule(GrpoConfig(pooling=pooling))
        together = pool(joined(*facts), 2, 3, rule)
        alone = [pool(fact, 2, 3, rule) for fact in facts]
        for found, parts in zip(together, zip(*alone, strict=True), strict=True):
            assert found == pytest.approx(np.concatenate(parts))


def test_a_torn_fact_is_refused_with_its_row():
    two = joined(table(), table())
    swapped = np.arange(12)
    swapped[[5, 6]] = [6, 5]
    names = ("fact", "language", "score", "correct", "entity", "gold", "in_language")
    torn = Rollouts(*(getattr(two, name)[swapped] for name in names))
    with pytest.raises(MeasurementError) as caught:
        pool(torn, 2, 3, RewardRule(GrpoConfig()))
    assert str(caught.value) == (
        "Row 5 of the gathered completions is fact 1, language 0; fact 0, language 1 was expected: a fact "
        "is torn apart."
    )
    languages = two.language.copy()
    languages[[2, 3]] = [1, 0]
    with pytest.raises(MeasurementError, match=r"Row 2 .* is fact 0, language 1; fact 0, language 0 was"):
        pool(
            dataclasses.replace(two, language=languages),
            2,
            3,
            RewardRule(GrpoConfig()),
        )


def test_parts_of_a_fact_are_refused():
    with pytest.raises(
        MeasurementError, match="6 completions were gathered, which are not whole facts of 2 languages x 4"
    ):
        pool(table(), 2, 4, RewardRule(GrpoConfig()))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reward_that_is_not_finite_is_refused(value):
    score = SCORE.copy()
    score[1, 2] = value
    for pooling in ("group", "per_lang"):
        with pytest.raises(MeasurementError, match="The reward of rollout 2 is not a finite number"):
            pool(table(score), 2, 3, RewardRule(GrpoConfig(pooling=pooling)))


@pytest.mark.parametrize("pooling", ["group", "per_lang", "consistency"])
def test_silence_is_worst_and_is_left_by_any_word(pooling):
    """Over all outcomes of two languages: none scores below silence, and one voice among the silent leads."""
    worth = {0: 1.0, 1: 0.0, -1: -0.5, None: -1.0}
    rule = RewardRule(GrpoConfig(pooling=pooling))
    for said in itertools.product(worth, repeat=2):
        if said == (None, None):
            continue
        score = np.full((2, 3), -1.0)
        entity = np.full((2, 3), -1)
        score[:, 1] = [worth[s] for s in said]
        entity[:, 1] = [-1 if s is None else s for s in said]
        rewards, advantages = (found.reshape(2, 3) for found in pool(table(score, entity), 2, 3, rule))
        assert (rewards.sum(0)[1] > rewards.sum(0)[[0, 2]]).all()
        spoke = [s is not None for s in said] if pooling == "per_lang" else [True, True]
        assert (advantages[spoke, 1] > 0).all()
        assert (advantages[spoke][:, [0, 2]] < 0).all()
    silent = pool(table(np.full((2, 3), -1.0), np.full((2, 3), -1)), 2, 3, rule)
    assert silent[1].tolist() == [0] * 6


@pytest.mark.parametrize("settings", [{"bonus": "ladder", "ladder": ("2:1", "3:2")}, {"bonus": "power"}])
@pytest.mark.parametrize("pooling", ["group", "consistency", "per_lang"])
def test_settings_that_can_work_pass_the_check(settings, pooling):
    RewardRule(GrpoConfig(**settings, pooling=pooling)).check(3)


@pytest.mark.parametrize(
    ("settings", "languages", "message"),
    [
        ({"bonus": "ladder"}, 3, r"rungs at \[9, 10, 11, 12\]; with 3 languages they must be from 1 to 3"),
        ({"bonus": "power", "bonus_power": -1.0}, 3, "'bonus_power' is -1.0"),
        ({"bonus_size": -1.0}, 3, "'bonus_size' is -1.0"),
        ({"pooling": "consistency", "anchor": 2.0}, 3, "'anchor' is 2.0; a number from 0 to 1"),
        ({"score_empty": 0.0}, 3, "Training would then drift"),
        ({"ladder": ("9",)}, 3, r"ladder is 9; rungs such as 9:1 \(COUNT:VALUE\) are expected"),
        ({"ladder": ("a:b",)}, 3, "ladder is a:b; rungs such as"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, languages, message):
    with pytest.raises(ConfigError, match=message):
        RewardRule(GrpoConfig(**settings)).check(languages)


# several rewards


SPOKEN = np.array([[True, True, False], [False, True, True]])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            [3 + 0.5, -0.5 + 1, 0 + 0.5] * 2,
        ),  # as the group by hand, and half per completion in its language
        ({"pooling": "per_lang"}, [1.5, 0.5, 1, 1, 0, -0.5]),
        ({"pooling": "consistency"}, [7.5, 0.5, 2] * 2),
    ],
)
def test_a_reward_for_the_language(changes, expected):
    rollouts = table(in_language=SPOKEN.reshape(-1))
    rewards, advantages = pool(rollouts, 2, 3, RewardRule(GrpoConfig(language_reward=0.5, **changes)))
    assert rewards == pytest.approx(expected)
    silent, _ = pool(rollouts, 2, 3, RewardRule(GrpoConfig(**changes)))
    assert silent == pytest.approx(np.array(expected) - 0.5 * (
        SPOKEN.reshape(-1) if changes.get("pooling") == "per_lang" else np.tile(SPOKEN.sum(0), 2)
    ))  # fmt: skip
    assert advantages.any()


def test_each_reward_normalized_by_hand():
    """Scores 2, -0.5, 0 and bonus 1, 0, 0 count alike, though one spreads 2.5 times as far as the other."""
    config = GrpoConfig(normalization="each")
    rewards, advantages = pool(table(), 2, 3, RewardRule(config))
    assert rewards.tolist() == [3, -0.5, 0] * 2
    summed = np.tile(relative([2, -0.5, 0]) + relative([1, 0, 0]), 2)
    assert advantages == pytest.approx(summed / (summed.std() + 1e-6))
    _, together = pool(table(), 2, 3, RewardRule(GrpoConfig()))
    assert np.abs(advantages - together).max() > 1e-2


def test_each_language_s_rewards_normalized_by_hand():
    config = GrpoConfig(normalization="each", pooling="per_lang", language_reward=2.0)
    _, advantages = pool(table(in_language=SPOKEN.reshape(-1)), 2, 3, RewardRule(config))
    summed = np.concatenate(
        [relative([1, 0, 1]) + relative([2, 2, 0]), relative([1, -0.5, -1]) + relative([0, 2, 2])]
    )
    assert advantages == pytest.approx((summed - summed.mean()) / (summed.std() + 1e-6))


def test_silence_stays_silent_beside_a_fact_that_differs():
    same = table(np.full((2, 3), -1.0), np.full((2, 3), -1))
    _, advantages = pool(joined(table(), same), 2, 3, RewardRule(GrpoConfig(normalization="each")))
    assert advantages[:6].all()
    assert not advantages[6:].any()
    _, alone = pool(same, 2, 3, RewardRule(GrpoConfig(normalization="each")))
    assert not alone.any()
