"""From judged completions of all processes to rewards and advantages, per fact: [language, rollout]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.errors import ConfigError, MeasurementError
from training.methods import GrpoConfig
from training.rewards import advantages, consistency_rewards, group_rewards
from training.scores import Scores

__all__ = ["RewardRule", "Rollouts", "pool"]


class RewardRule:
    """How rollouts are rewarded.

    Pooling ``group``: all languages of a rollout share its reward. ``per_lang``: each language has its own.
    ``consistency``: as group, with a reward for naming the same entity.

    Args:
        config: Pooling, scores, and sizes of bonus and agreement.

    Raises:
        ConfigError: A score or a rung cannot work.
    """

    def __init__(self, config: GrpoConfig):
        self.config, self.ladder = config, _ladder(config.ladder)
        self.scores = Scores(
            config.score_correct,
            config.score_other,
            config.score_unresolved,
            config.score_empty,
            config.score_wrong_language,
        )

    def check(self, languages: int) -> None:
        """Try the rule on an empty table, so that a setting that cannot work fails before the first step.

        Raises:
            ConfigError: A setting cannot work with this number of languages.
        """
        table = np.zeros((languages, 1))
        self.rewards(table, table > 0, table.astype(int), 0)

    def rewards(
        self,
        scores: Float[np.ndarray, "language rollout"],
        correct: Bool[np.ndarray, "language rollout"],
        entity: Int[np.ndarray, "language rollout"],
        gold: int,
    ) -> Float[np.ndarray, "language rollout"]:
        """Return the reward of each completion of a fact."""
        config = self.config
        if config.pooling == "per_lang":
            return scores
        rewards = group_rewards(
            scores.T,
            correct.T,
            config.bonus,  # type: ignore[arg-type]
            size=config.bonus_size,
            power=config.bonus_power,
            ladder=self.ladder,
        )
        if config.pooling == "consistency":
            rewards = rewards + consistency_rewards(
                entity.T, gold, anchor=config.anchor, size=config.agreement
            )
        return np.broadcast_to(rewards, scores.shape)

    def advantages(
        self, rewards: Float[np.ndarray, "language rollout"]
    ) -> Float[np.ndarray, "language rollout"]:
        """Return each reward relative to the other rollouts of the fact."""
        if self.config.pooling == "per_lang":
            return advantages(rewards.T, pooling="per_lang").T
        return np.broadcast_to(advantages(rewards[0]), rewards.shape)


@dataclass(frozen=True)
class Rollouts:
    """Judged completions of some facts, gathered from all processes in order.

    Attributes:
        fact: Number of the fact.
        language: Number of the language.
        score: Score of the completion.
        correct: Whether it names the right option.
        entity: Number of the entity it names, or -1.
        gold: Number of the right entity.
    """

    fact: Int[np.ndarray, " row"]
    language: Int[np.ndarray, " row"]
    score: Float[np.ndarray, " row"]
    correct: Bool[np.ndarray, " row"]
    entity: Int[np.ndarray, " row"]
    gold: Int[np.ndarray, " row"]


def pool(
    rollouts: Rollouts, languages: int, generations: int, rule: RewardRule
) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]]:
    """Return reward and advantage of every row.

    Raises:
        MeasurementError: The rows are not whole facts in the order [fact, language, rollout].
    """
    _require_blocks(rollouts, languages, generations)
    shape = (-1, languages, generations)
    tables = zip(
        rollouts.score.reshape(shape),
        rollouts.correct.reshape(shape),
        rollouts.entity.reshape(shape),
        rollouts.gold.reshape(shape)[:, 0, 0],
        strict=True,
    )
    rewards = [rule.rewards(score, correct, entity, int(gold)) for score, correct, entity, gold in tables]
    relative = [rule.advantages(table) for table in rewards]
    return np.concatenate(rewards).reshape(-1), np.concatenate(relative).reshape(-1)


def _require_blocks(rollouts: Rollouts, languages: int, generations: int) -> None:
    block = languages * generations
    rows = len(rollouts.fact)
    if rows % block:
        raise MeasurementError(
            f"{rows} completions were gathered, which are not whole facts of {languages} languages x "
            f"{generations} rollouts: rewards would be pooled over parts of different facts."
        )
    expected_fact = np.repeat(rollouts.fact[::block], block)
    expected_language = np.tile(np.repeat(np.arange(languages), generations), rows // block)
    wrong = np.flatnonzero((rollouts.fact != expected_fact) | (rollouts.language != expected_language))
    if len(wrong):
        row = int(wrong[0])
        raise MeasurementError(
            f"Row {row} of the gathered completions is fact {rollouts.fact[row]}, language "
            f"{rollouts.language[row]}; fact {expected_fact[row]}, language {expected_language[row]} was "
            "expected: a fact is torn apart."
        )


def _ladder(rungs: tuple[str, ...]) -> dict[int, float] | None:
    try:
        ladder = {int(count): float(value) for count, value in (rung.split(":") for rung in rungs)}
    except ValueError:
        raise ConfigError(
            f"ladder is {', '.join(rungs)}; rungs such as 9:1 (COUNT:VALUE) are expected."
        ) from None
    return ladder or None
