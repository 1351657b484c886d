"""Rewards of rollouts: from the scores of their completions to rewards, and from rewards to advantages.

One rollout answers one fact in every language, so a group of rollouts is a table [rollout, language]. All
functions are pure; `training.scores` scores completions.

As `training.scores.Scores` makes an empty completion the worst of all, a rollout of empty completions has a
lower reward than every other, and in a group of such rollouts any other one has a positive advantage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.errors import ConfigError, DataError, MeasurementError, nearest

__all__ = ["LADDER", "advantages", "bonus", "consistency_rewards", "group_rewards", "normalized_over_batch"]

Shape = Literal["none", "all_or_nothing", "power", "ladder"]
Pooling = Literal["group", "per_lang"]

LADDER: Mapping[int, float] = {9: 1.0, 10: 2.0, 11: 3.0, 12: 5.0}
"""Bonus by the number of right languages out of twelve, as PolyFact's trainer has it."""

_SHAPES = ("none", "all_or_nothing", "power", "ladder")
_POOLINGS = ("group", "per_lang")


def bonus(
    k: Int[np.ndarray, " *rollout"] | int,
    n_languages: int,
    shape: Shape = "all_or_nothing",
    *,
    size: float = 1.0,
    power: float = 4.0,
    ladder: Mapping[int, float] | None = None,
) -> Float[np.ndarray, " *rollout"]:
    """Return the bonus for being right in ``k`` of the languages; 0 at ``k = 0``.

    ``none``: 0. ``all_or_nothing``: ``size`` when k is all, else 0.
    ``power``: ``size * (k / n_languages) ** power``, from 0 to ``size`` and above 0 for every k > 0, each
    further language adding more than the one before when ``power > 1``.
    ``ladder``: the value of the highest rung with threshold at most k, in absolute terms.

    Args:
        k: Number of languages, 0 to ``n_languages``; an array is taken element by element.
        n_languages: Number of languages.
        shape: One of the four.
        size: The largest bonus; ladder ignores it.
        power: Exponent; the other shapes ignore it.
        ladder: Threshold to value, for twelve languages `LADDER` when None; the other shapes ignore it.

    Raises:
        ConfigError: The shape is unknown, ``size`` or ``power`` is out of range, or a rung cannot be reached
            or is worth less than one below it.
        DataError: ``k`` is out of range.

    Source: the shapes are those of PolyFact, https://arxiv.org/abs/2606.06586.
    """
    count = np.asarray(k)
    if count.size and not 0 <= count.min() <= count.max() <= n_languages:
        raise DataError(f"Right in {count.min()} to {count.max()} languages, of {n_languages}.")
    _check_bonus(shape, size, power)
    if shape == "all_or_nothing":
        return np.asarray(size * (count == n_languages))
    if shape == "power":
        return np.asarray(size * (count / n_languages) ** power)
    if shape == "ladder":
        return _climbed(count, _checked_ladder(LADDER if ladder is None else ladder, n_languages))
    return np.zeros(count.shape)


def _check_bonus(shape: str, size: float, power: float) -> None:
    if shape not in _SHAPES:
        raise ConfigError(
            f"Unknown bonus shape '{shape}'.{nearest(shape, _SHAPES)} Choose from: {', '.join(_SHAPES)}."
        )
    if not (math.isfinite(size) and size >= 0):
        raise ConfigError(
            f"The size of the bonus is {size}; it must be finite and 0 or more, or it is a penalty."
        )
    if not (math.isfinite(power) and power > 0):
        raise ConfigError(f"The power of the bonus is {power}; it must be finite and above 0.")


def _checked_ladder(ladder: Mapping[int, float], n_languages: int) -> list[tuple[int, float]]:
    rungs = sorted(ladder.items())
    thresholds, values = [rung for rung, _ in rungs], [value for _, value in rungs]
    if not rungs or thresholds[0] < 1 or thresholds[-1] > n_languages:
        raise ConfigError(
            f"The ladder has rungs at {thresholds}; with {n_languages} languages they must be from 1 to "
            f"{n_languages}. Give a ladder for this number of languages."
        )
    if not all(map(math.isfinite, values)) or values[0] < 0 or values != sorted(values):
        raise ConfigError(
            f"The ladder's values {values} must be finite, 0 or more, and not fall with the rungs."
        )
    return rungs


def _climbed(count: np.ndarray, rungs: Sequence[tuple[int, float]]) -> np.ndarray:
    thresholds = [threshold for threshold, _ in rungs]
    values = np.array([0.0] + [value for _, value in rungs])
    return np.asarray(values[np.searchsorted(thresholds, count, side="right")])


def group_rewards(
    scores: Float[np.ndarray, "rollout language"],
    correct: Bool[np.ndarray, "rollout language"],
    shape: Shape = "all_or_nothing",
    *,
    size: float = 1.0,
    power: float = 4.0,
    ladder: Mapping[int, float] | None = None,
) -> Float[np.ndarray, " rollout"]:
    """Return the reward of each rollout: the sum of its scores and the `bonus` for its right languages.

    With the default scores, bonus and 12 languages it ranges from -12 to 13.

    Raises:
        DataError: The two tables differ in shape.
        ConfigError: `bonus` refuses the settings.
    """
    if scores.shape != correct.shape or scores.ndim != 2:
        raise DataError(
            f"Scores have the shape {scores.shape} and correctness {correct.shape}; both must be [rollout, "
            "language]."
        )
    right = correct.sum(axis=1)
    return scores.sum(axis=1) + bonus(right, scores.shape[1], shape, size=size, power=power, ladder=ladder)


def consistency_rewards(
    choice: Int[np.ndarray, "rollout language"], gold: int, *, anchor: float = 0.75, size: float = 1.0
) -> Float[np.ndarray, " rollout"]:
    """Return a reward per rollout for naming the same entity in many languages, most of all the right one.

    With n_e of the L languages naming entity e, it is ::

        size * (anchor * n_gold / L + (1 - anchor) * sum_e n_e (n_e - 1) / (L (L - 1)))

    from 0 to ``size``. The second part is the share of pairs of languages that give the same entity; it needs
    no gold. A completion that names no entity agrees with none. Naming the right entity instead of a wrong
    one raises the reward when ``anchor`` is above 2/3; below, a unanimous wrong answer can be worth more than
    the first right one.

    Empty and unresolved completions both get 0 here: add it to `group_rewards`, where empty ones score
    lowest.

    Args:
        choice: Number of the entity named, in an order common to all languages (not the position in the
            options shown, which may be shuffled per language); -1 when none is named.
        gold: Number of the right entity.
        anchor: Weight of being right, 0 (agreement alone) to 1 (being right alone).
        size: The largest reward.

    Raises:
        ConfigError: ``anchor`` or ``size`` is out of range.
        DataError: There are fewer than two languages, or a number is below -1, or below 0 for ``gold``.
    """
    if not 0 <= anchor <= 1 or not (math.isfinite(size) and size >= 0):
        raise ConfigError(f"Anchor {anchor} must be 0 to 1, and size {size} finite and 0 or more.")
    if choice.ndim != 2 or choice.shape[1] < 2:
        raise DataError(
            f"Choices have the shape {choice.shape}; agreement needs two languages or more per rollout."
        )
    if gold < 0 or (choice.size and choice.min() < -1):
        raise DataError(
            "Entities are numbered from 0, and -1 stands for none in a choice; a number is lower."
        )
    n = choice.shape[1]
    same = (choice[:, :, None] == choice[:, None, :]) & (choice >= 0)[:, :, None]
    pairs = same.sum(axis=(1, 2)) - (choice >= 0).sum(axis=1)  # a language with itself is no pair
    return size * (anchor * (choice == gold).mean(axis=1) + (1 - anchor) * pairs / (n * (n - 1)))


def advantages(
    rewards: Float[np.ndarray, " rollout *language"], eps: float = 1e-6, *, pooling: Pooling = "group"
) -> Float[np.ndarray, " rollout *language"]:
    """Return each reward relative to those of the other rollouts of the same fact.

    ``(reward - mean) / (standard deviation + eps)`` over the rollouts, with the population's standard
    deviation; 0 throughout when all rewards are the same.

    Args:
        rewards: ``group``: one per rollout, which all its languages share. ``per_lang``: the scores
            [rollout, language]; each language is compared with itself.
        eps: Keeps groups of almost equal rewards from being blown up; above 0.
        pooling: Which of the two.

    Raises:
        ConfigError: The pooling is unknown, or ``eps`` is not above 0.
        DataError: The table does not have the form that the pooling needs, or there is no rollout.
        MeasurementError: A reward is not finite.
    """
    if pooling not in _POOLINGS:
        raise ConfigError(
            f"Unknown pooling '{pooling}'.{nearest(pooling, _POOLINGS)} Choose from: group, per_lang."
        )
    if not eps > 0:
        raise ConfigError(f"eps is {eps}; it must be above 0.")
    if rewards.ndim != 1 + (pooling == "per_lang") or not len(rewards):
        form = "[rollout]" if pooling == "group" else "[rollout, language]"
        raise DataError(f"Rewards have the shape {rewards.shape}; pooling '{pooling}' needs {form}.")
    if not np.isfinite(rewards).all():
        rows = np.flatnonzero(~np.isfinite(rewards.reshape(len(rewards), -1)).all(axis=1))
        raise MeasurementError(f"The reward of rollout {', '.join(map(str, rows))} is not a finite number.")
    relative = (rewards - rewards.mean(axis=0)) / (rewards.std(axis=0) + eps)
    return np.where(np.ptp(rewards, axis=0) == 0, 0.0, relative)


def normalized_over_batch(
    summed: Float[np.ndarray, " *row"], eps: float = 1e-6
) -> Float[np.ndarray, " *row"]:
    """Return advantages that were added over several rewards, scaled to the batch: mean 0, deviation 1.

    With every reward normalized within its group first (`advantages`), a reward whose values differ little
    counts as much as one whose values differ a lot, and the number of rewards does not change the scale.
    All 0 where all are the same.

    Source: GDPO (https://arxiv.org/abs/2601.05242), which adds normalized rewards and then normalizes over
    the batch.
    """
    centered = summed - summed.mean()
    return np.zeros_like(centered) if np.ptp(summed) == 0 else centered / (summed.std() + eps)
