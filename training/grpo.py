"""GRPO whose unit is a fact: one completion per language is one rollout, and its languages can share a reward."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather, gather_object
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from interp.errors import ConfigError
from training.buckets import bucketed, generated_in_buckets
from training.config import GrpoConfig
from training.examples import ExampleSet
from training.rollouts import RewardRule, Rollouts, pool
from training.running.callbacks import Progress
from training.running.evaluation import Answer, judge
from training.running.generation import Completion, newline_ids
from training.running.guards import Guards
from training.running.plan import BatchPlan, plan_batches, require_whole_facts
from training.running.run import Run
from training.running.start import lora_config
from training.running.tables import write_table
from training.sampler import FactSampler
from training.vllm import vllm_settings

__all__ = ["PooledGRPOTrainer", "fact_rows", "train_grpo"]


def train_grpo(config: GrpoConfig, progress: Progress | None = None) -> Path:
    """Train with GRPO on the train facts and return the folder of the result.

    Objective: the mean over completions of ``-A * mean over tokens of log p``, with ``A`` from
    `training.rollouts.RewardRule`, one update per set of rollouts, so no ratio and no clipping act.

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
        args=_arguments(run, config, plan, stops),
        processing_class=start.tokenizer,
        peft_config=lora_config(config),
        callbacks=[run.callback],
    )


def _switch_off_attention_dropout(model: Any) -> None:
    """Attention keeps its dropout as a number, which TRL's disable_dropout does not see."""
    for module in model.modules():
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0


def _arguments(run: Run, config: GrpoConfig, plan: BatchPlan, stops: Sequence[int]) -> GRPOConfig:
    sampler: dict[str, Any] = {"temperature": config.temperature, "top_p": config.top_p}
    scored = sampler
    if config.score_at_one:  # TRL scores at its own temperature, and samples with what it is told here
        scored = {"temperature": 1.0, "generation_kwargs": dict(sampler)}
    engine = vllm_settings(config, stops) if config.vllm else {}
    if "generation_kwargs" in scored and "generation_kwargs" in engine:
        engine["generation_kwargs"] |= scored["generation_kwargs"]
    return run.arguments(
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


def fact_rows(examples: ExampleSet) -> Dataset:
    """Return one row per fact and language, languages of a fact next to each other."""
    return Dataset.from_list(
        [
            {"prompt": example.prompt, "fact": number, "language": index}
            for number, fact in enumerate(examples.facts)
            for index, example in enumerate(fact)
        ]
    )


class PooledGRPOTrainer(GRPOTrainer):
    """TRL's GRPOTrainer with facts as units and rewards pooled over languages after they are gathered.

    Args:
        examples: What is asked.
        rule: What rollouts earn.
        bucketing: Generate and train rows of similar length together.
        minimum_coverage: See `interp.data.matching.resolve`.
        rollouts: Folder for the tables of rollouts; None to write none.
        rollouts_every: Steps between two tables.
        options: As of GRPOTrainer; reward functions and data set are this class's own.

    Raises:
        ConfigError: The generation batch does not hold whole facts.
    """

    def __init__(
        self,
        *,
        examples: ExampleSet,
        rule: RewardRule,
        args: GRPOConfig,
        bucketing: bool = True,
        minimum_coverage: float = 0.5,
        rollouts: Path | None = None,
        rollouts_every: int = 1,
        **options: Any,
    ):
        self.examples, self.rule, self.bucketing = examples, rule, bucketing
        self.minimum_coverage, self.rollouts, self.rollouts_every = minimum_coverage, rollouts, rollouts_every
        self._own_advantages = torch.zeros(0)
        self._buffered_inputs: Any = None
        require_whole_facts(
            args.per_device_train_batch_size,
            args.world_size,
            args.steps_per_generation,
            len(examples.languages),
            args.num_generations,
        )
        if args.steps_per_generation != args.gradient_accumulation_steps:
            raise ConfigError(
                f"steps_per_generation is {args.steps_per_generation} and gradient accumulation "
                f"{args.gradient_accumulation_steps}: a run resumed between two generations would shift. Make them equal."
            )
        super().__init__(args=args, reward_funcs=[_unused], train_dataset=fact_rows(examples), **options)

    def _get_train_sampler(self, dataset: Any = None) -> FactSampler:
        args = self.args
        per_batch = args.generation_batch_size // (len(self.examples.languages) * self.num_generations)
        return FactSampler(
            len(self.examples),
            len(self.examples.languages),
            self.num_generations,
            per_batch,
            args.steps_per_generation,
            args.seed,
        )

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self.bucketing or not self.model.training:
            return super()._prepare_inputs(generation_batch)
        parts = self.args.steps_per_generation
        if self._step % parts == 0 or self._buffered_inputs is None:
            self._buffered_inputs = bucketed(self._generate_and_score_completions(generation_batch), parts)
        return self._buffered_inputs[self._step % parts]

    def _generate_single_turn(self, prompt_ids: Any, images: Any, multimodal_fields: Any, *more: Any) -> Any:
        plain: Callable[..., Any] = super()._generate_single_turn
        if not self.bucketing or self.use_vllm or images is not None:
            return plain(prompt_ids, images, multimodal_fields, *more)
        return generated_in_buckets(
            lambda ids: plain(ids, None, multimodal_fields, *more)[0],
            prompt_ids,
            self.args.steps_per_generation,
        ), None

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output = super()._generate_and_score_completions(inputs)
        output["advantages"] = self._own_advantages  # TRL's divide by another standard deviation
        return output

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> torch.Tensor:
        """Judge this process's completions, gather all, and pool them by fact."""
        judged = [
            self._judge(row, text, len(ids))
            for row, text, ids in zip(inputs, completions, completion_ids_list, strict=True)
        ]
        own = [
            [
                row["fact"],
                row["language"],
                self.rule.scores.worth(said.outcome),
                said.outcome == "correct",
                said.entity,
                self.examples.facts[row["fact"]][row["language"]].gold_entity,
            ]
            for row, said in zip(inputs, judged, strict=True)
        ]
        device = self.accelerator.device
        table = gather(torch.tensor(own, dtype=torch.float64, device=device)).cpu().numpy()
        whole = table.astype(np.int64)
        rollouts = Rollouts(whole[:, 0], whole[:, 1], table[:, 2], whole[:, 3] > 0, whole[:, 4], whole[:, 5])
        rewards, advantages = pool(rollouts, len(self.examples.languages), self.num_generations, self.rule)
        mine = slice(
            self.accelerator.process_index * len(own), (self.accelerator.process_index + 1) * len(own)
        )
        self._own_advantages = torch.tensor(advantages[mine], dtype=torch.float32, device=device)
        self._note(rollouts, advantages, gather_object(judged))
        self._write_rollouts(prompts, judged, rollouts.score[mine], rewards[mine], advantages[mine])
        return torch.tensor(rewards, dtype=torch.float32, device=device).unsqueeze(1)

    def _judge(self, row: dict[str, Any], text: str, n_tokens: int) -> Answer:
        example = self.examples.facts[row["fact"]][row["language"]]
        return judge(example, Completion(text, n_tokens, True), "train", self.minimum_coverage)

    def _note(self, rollouts: Rollouts, advantages: np.ndarray, judged: Sequence[Answer]) -> None:
        """Add what a reader wants to know of a step to TRL's metrics."""
        shape = (-1, len(self.examples.languages), self.num_generations)
        right = rollouts.correct.reshape(shape)
        told = {
            "score": rollouts.score.mean(),
            "right": right.mean(),
            "all_right": right.all(axis=1).mean(),
            "resolved": (rollouts.entity >= 0).mean(),
            "empty": np.mean([said.outcome == "empty" for said in judged]),
            "degenerate": np.mean(~advantages.reshape(shape).any(axis=(1, 2))),
        }
        for code in self.examples.languages:
            told[f"length/{code}"] = np.mean([said.n_tokens for said in judged if said.language == code])
        for name, value in told.items():
            self._metrics["train"][name].append(float(value))

    def _write_rollouts(
        self,
        prompts: Any,
        judged: Sequence[Answer],
        scores: np.ndarray,
        rewards: np.ndarray,
        advantages: np.ndarray,
    ) -> None:
        step = self.state.global_step + 1
        if not self.rollouts_every or step % self.rollouts_every:
            return
        rows = [
            {"step": step, "prompt": prompt, **dataclasses.asdict(said)}
            | {"score": float(score), "reward": float(reward), "advantage": float(advantage)}
            for prompt, said, score, reward, advantage in zip(
                prompts, judged, scores, rewards, advantages, strict=True
            )
        ]
        gathered = gather_object(rows)
        if self.rollouts is not None:
            write_table(self.rollouts / f"step-{step:06d}.parquet", gathered)


def _unused(**_: Any) -> list[float]:
    raise AssertionError("rewards are pooled in _calculate_rewards")
