"""GRPO whose unit is a fact: one completion per language is one rollout, and its languages can share a reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from interp.errors import ConfigError
from interp.model.generation import newline_ids
from training.config import GrpoConfig
from training.progress import Progress
from training.rollouts.pool import RewardRule
from training.rollouts.trainer import PooledGRPOTrainer
from training.rollouts.vllm import vllm_settings
from training.running.arguments import trainer_arguments
from training.running.guards import Guards
from training.running.plan import BatchPlan, plan_batches
from training.running.run import Run
from training.running.start import lora_config

__all__ = ["train_grpo"]


def train_grpo(config: GrpoConfig, progress: Progress | None = None) -> Path:
    """Train with GRPO on the train facts and return the folder of the result.

    Objective: the mean over completions of ``-A * mean over tokens of log p``, with ``A`` from
    `training.rollouts.pool.RewardRule`, one update per set of rollouts, so no ratio and no clipping act.

    Raises:
        InterpError: See `training.running.run.Run.begin` and `finish`.

    Source: PolyFact (https://arxiv.org/abs/2606.06586), whose objective this is; true masks and no repetition
    penalty differ from its code, on purpose.
    """
    rule = RewardRule.of(config)
    _check(config)
    run = Run.begin("grpo", config, progress, guards=Guards(config.dead_run_patience, config.collapse))
    if run is None:
        return config.out / "final"
    rule.check(len(run.train.languages))
    trainer = _trainer(run, config, rule)
    return run.finish(trainer)


def _check(config: GrpoConfig) -> None:
    if config.generations < 2:
        raise ConfigError(f"generations is {config.generations}; an advantage compares 2 or more.")
    if config.temperature <= 0 or not 0 < config.top_p <= 1:
        raise ConfigError(
            f"temperature {config.temperature} must be above 0, and top_p {config.top_p} above 0 and at most 1."
        )


def _trainer(run: Run, config: GrpoConfig, rule: RewardRule) -> PooledGRPOTrainer:
    start, languages = run.start, len(run.train.languages)
    _switch_off_attention_dropout(start.model)
    processes = run.recipe["processes"]
    plan = plan_batches(
        len(run.train), config.facts_per_step, languages * config.generations, processes, config.micro_batch
    )
    stops = newline_ids(start.tokenizer) if config.stop_at_newline else ()
    before = start.model.generation_config.eos_token_id
    declared = before if isinstance(before, list) else [] if before is None else [before]
    eos: Any = start.tokenizer.eos_token_id
    if (
        stops
    ):  # in the model's own configuration: what is padded after a stop given elsewhere would be trained
        start.model.generation_config.eos_token_id = list(dict.fromkeys([eos, *declared, *stops]))
        run.restore_generation = {"eos_token_id": before}
    run.data |= {
        "dropped_tail_per_epoch": plan.dropped_facts,
        "facts_per_step": plan.facts_per_step,
        "sampled_at": {"temperature": config.temperature, "top_p": config.top_p},
        "scored_at_temperature": 1.0 if config.score_at_one else config.temperature,
        "on_policy": config.top_p == 1
        and config.repetition_penalty == 1
        and (config.temperature == 1 or not config.score_at_one),
    }
    return PooledGRPOTrainer(
        examples=run.train,
        rule=rule,
        bucketing=config.bucketing,
        minimum_coverage=config.minimum_coverage,
        rollouts=run.out / "rollouts" if run.is_main else None,
        rollouts_every=config.rollouts_every,
        model=start.model,
        args=_arguments(config, plan, stops),
        processing_class=start.tokenizer,
        peft_config=lora_config(config),
        callbacks=[run.callback],
    )


def _switch_off_attention_dropout(model: Any) -> None:
    """Attention keeps its dropout as a number, which TRL's disable_dropout does not see."""
    for module in model.modules():
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0


def _arguments(config: GrpoConfig, plan: BatchPlan, stops: Sequence[int]) -> GRPOConfig:
    sampler: dict[str, Any] = {"temperature": config.temperature, "top_p": config.top_p}
    scored = sampler
    if config.score_at_one:  # TRL scores at its own temperature, and samples with what it is told here
        scored = {"temperature": 1.0, "generation_kwargs": dict(sampler)}
    engine = vllm_settings(config, stops) if config.vllm else {}
    if "generation_kwargs" in scored and "generation_kwargs" in engine:
        engine["generation_kwargs"] |= scored["generation_kwargs"]
    return trainer_arguments(
        config,
        GRPOConfig,
        micro_batch=plan.micro_batch,
        accumulation=plan.accumulation,
        steps_per_epoch=plan.steps_per_epoch,
        num_generations=config.generations,
        max_completion_length=config.new_tokens,
        repetition_penalty=config.repetition_penalty,
        loss_type=config.loss,
        beta=config.kl,
        scale_rewards="group",
        disable_dropout=True,  # rollouts are sampled in training mode
        use_bias_correction_kl=False,
        shuffle_dataset=False,
        **{**scored, **engine},
    )
