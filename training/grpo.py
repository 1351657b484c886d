"""GRPO whose unit is a fact: one completion per language is a rollout, whose languages can share a reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from interp.errors import ConfigError
from interp.model.generation import Sampler, newline_ids
from training.checkpoint.adapter import lora_config
from training.data import load_data
from training.methods import GrpoConfig
from training.plan.batches import BatchPlan, plan_batches
from training.progress import Progress
from training.rollouts.pool import RewardRule
from training.rollouts.trainer import PooledGRPOTrainer
from training.rollouts.vllm import vllm_settings
from training.run.arguments import trainer_arguments
from training.run.folder import one_writer
from training.run.guards import Guards
from training.run.loop import Run

__all__ = ["train_grpo"]


@one_writer
def train_grpo(config: GrpoConfig, progress: Progress | None = None) -> Path:
    """Train with GRPO on the train facts and return the folder of the result.

    Objective: the mean over completions of ``-A * mean over tokens of log p``, with ``A`` from
    `training.rollouts.pool.RewardRule`, one update per set of rollouts, so no ratio and no clipping act.

    Raises:
        InterpError: See `training.run.loop.Run.begin` and `finish`.

    Source: PolyFact (https://arxiv.org/abs/2606.06586), whose objective this is; true masks and no repetition
    penalty differ from its code, on purpose.
    """
    rule = RewardRule(config)
    _check(config)
    guards = Guards(config.dead_run_patience, config.collapse)
    run = Run.begin("grpo", config, load_data(config), progress, guards=guards)
    if run is None:
        return config.out / "final"
    rule.check(len(run.train.languages))
    return run.finish(_trainer(run, config, rule))


def _check(config: GrpoConfig) -> None:
    if config.generations < 2:
        raise ConfigError(f"generations is {config.generations}; an advantage compares 2 or more.")
    if config.resample and config.vllm:
        raise ConfigError(
            f"resample is {config.resample} with vllm, which samples all rollouts at once. Set one of them "
            "off."
        )


def _trainer(run: Run, config: GrpoConfig, rule: RewardRule) -> PooledGRPOTrainer:
    parent, languages = run.parent, len(run.train.languages)
    model: Any = parent.model
    _switch_off_attention_dropout(model)
    rows_per_fact = languages * config.generations
    plan = plan_batches(
        len(run.train), config.facts_per_step, rows_per_fact, run.processes, config.micro_batch
    )
    stops = newline_ids(parent.tokenizer) if config.stop_at_newline else ()
    if stops:  # in the model's own settings: TRL trains on the padding after a stop that is given elsewhere
        run.restore_generation = {"eos_token_id": model.generation_config.eos_token_id}
        model.generation_config.eos_token_id = list(dict.fromkeys([*parent.stop_ids, *stops]))
    run.data |= {
        "dropped_tail_per_epoch": plan.dropped,
        "facts_per_step": plan.units_per_step,
        "sampled_at": {"temperature": config.temperature, "top_p": config.top_p},
        "scored_at_temperature": 1.0 if config.score_at_one else config.temperature,
        "on_policy": config.top_p == 1
        and config.repetition_penalty == 1
        and (config.temperature == 1 or not config.score_at_one),
    }
    return PooledGRPOTrainer(
        examples=run.train,
        rule=rule,
        sampler=Sampler(
            config.new_tokens,
            (),
            config.temperature,
            config.top_p,
            batch=plan.rows_per_process,
            repetition_penalty=config.repetition_penalty,
        ),
        bucketing=config.bucketing,
        minimum_coverage=config.minimum_coverage,
        rollouts=run.out / "rollouts" if run.is_main else None,
        rollouts_every=config.rollouts_every,
        model=model,
        args=_arguments(config, plan, stops),
        processing_class=parent.tokenizer,
        peft_config=lora_config(config, model),
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
    if config.score_at_one:  # TRL scores at its own temperature, and samples with generation_kwargs
        scored = {"temperature": 1.0, "generation_kwargs": dict(sampler)}
    engine = vllm_settings(config, stops) if config.vllm else {}
    if "generation_kwargs" in scored and "generation_kwargs" in engine:
        engine["generation_kwargs"] |= scored["generation_kwargs"]
    return trainer_arguments(
        config,
        GRPOConfig,
        plan,
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
