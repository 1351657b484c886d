"""From judged completions of all processes to rewards and advantages, per fact: [language, rollout]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.errors import ConfigError, MeasurementError
from training.methods import GrpoConfig
from training.rewards import advantages, bonus, consistency_rewards, normalized_over_batch
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
        self.parts(table, table > 0, table.astype(int), 0, table > 0)

    def parts(
        self,
        scores: Float[np.ndarray, "language rollout"],
        correct: Bool[np.ndarray, "language rollout"],
        entity: Int[np.ndarray, "language rollout"],
        gold: int,
        in_language: Bool[np.ndarray, "language rollout"],
    ) -> Float[np.ndarray, "reward language rollout"]:
        """Return the rewards of each completion of a fact, one by one: they add up to its reward.

        These are the scores; the bonus and the agreement, where the pooling has them; and
        ``language_reward`` for each completion in its language, where it is not 0.
        """
        config = self.config
        right = correct.sum(axis=0)
        spoken = [config.language_reward * in_language] if config.language_reward else []
        if config.pooling == "per_lang":
            return np.stack([scores, *spoken])
        parts = [
            scores.sum(axis=0),
            bonus(
                right,
                len(scores),
                config.bonus,  # type: ignore[arg-type]
                size=config.bonus_size,
                power=config.bonus_power,
                ladder=self.ladder,
            ),
            *(reward.sum(axis=0) for reward in spoken),
        ]
        if config.pooling == "consistency":
            parts.append(consistency_rewards(entity.T, gold, anchor=config.anchor, size=config.agreement))
        return np.broadcast_to(np.stack(parts)[:, None], (len(parts), *scores.shape))

    def advantages(
        self, parts: Float[np.ndarray, "reward language rollout"]
    ) -> Float[np.ndarray, "language rollout"]:
        """Return each completion's reward relative to the other rollouts of the fact.

        With ``normalization`` each, every reward is made relative by itself, and they are added.
        """
        each = parts if self.config.normalization == "each" else parts.sum(axis=0, keepdims=True)
        if self.config.pooling == "per_lang":
            return sum(
                (advantages(reward.T, pooling="per_lang").T for reward in each), np.zeros(parts.shape[1:])
            )
        relative = sum((advantages(reward[0]) for reward in each), np.zeros(parts.shape[2]))
        return np.broadcast_to(relative, parts.shape[1:])


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
        in_language: Whether it has words, mostly in a script of its language.
    """

    fact: Int[np.ndarray, " row"]
    language: Int[np.ndarray, " row"]
    score: Float[np.ndarray, " row"]
    correct: Bool[np.ndarray, " row"]
    entity: Int[np.ndarray, " row"]
    gold: Int[np.ndarray, " row"]
    in_language: Bool[np.ndarray, " row"]


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
        rollouts.in_language.reshape(shape),
        strict=True,
    )
    parts = [rule.parts(*table) for table in tables]
    relative = np.concatenate([rule.advantages(part) for part in parts]).reshape(-1)
    if rule.config.normalization == "each":
        same = np.concatenate([np.ptp(part, axis=2).max(axis=0) == 0 for part in parts])
        relative = np.where(np.repeat(same, generations), 0.0, normalized_over_batch(relative))
    return np.concatenate([part.sum(axis=0) for part in parts]).reshape(-1), relative


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
