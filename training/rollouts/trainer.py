"""TRL's GRPOTrainer with facts as units: rewards are pooled over languages, and prompts are computed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather, gather_object
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from interp.data.language_check import wrong_language
from interp.data.normalization import answer_line
from interp.errors import ConfigError
from interp.model.generation import Completion, Sampler, continuations, finite_logits
from training.examples import ExampleSet
from training.files import write_table
from training.plan.batches import require_whole_facts
from training.rollouts.buckets import bucketed
from training.rollouts.pool import RewardRule, Rollouts, pool
from training.run.evaluation import Answer, judge
from training.run.sampler import FactSampler
from training.shared_prompts import share_prompts, weights_are_sharded

__all__ = ["PooledGRPOTrainer", "fact_rows"]


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

    A prompt is computed once for all of its completions, when they are sampled (not with vLLM, which does so
    by itself, and not with sharded weights) and in each micro-batch of the loss (`share_prompts`).

    Args:
        examples: What is completed.
        rule: How rollouts are rewarded.
        args: Arguments of GRPOTrainer.
        sampler: How completions are drawn, without vLLM; its stop tokens are set here.
        bucketing: Train rows of similar length together.
        minimum_coverage: See `interp.data.matching.resolve`.
        rollouts: Folder for the tables of rollouts; None in processes that do not write.
        rollouts_every: Steps between tables; 0 for none.
        options: Other options of GRPOTrainer, but reward functions and data set.

    Raises:
        ConfigError: The generation batch does not hold whole facts.
    """

    def __init__(
        self,
        *,
        examples: ExampleSet,
        rule: RewardRule,
        args: GRPOConfig,
        sampler: Sampler,
        bucketing: bool = True,
        minimum_coverage: float = 0.5,
        rollouts: Path | None = None,
        rollouts_every: int = 1,
        **options: Any,
    ):
        self.examples, self.rule, self.bucketing = examples, rule, bucketing
        self.minimum_coverage, self.rollouts, self.rollouts_every = minimum_coverage, rollouts, rollouts_every
        self._pooled_advantages = torch.zeros(0)
        self._buffered_inputs: Any = None
        self._rows: Any = []
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
                f"{args.gradient_accumulation_steps}: a run resumed between two generations would shift. "
                "Make them equal."
            )
        super().__init__(args=args, reward_funcs=[_unused], train_dataset=fact_rows(examples), **options)
        self.sampler = dataclasses.replace(sampler, stop_ids=tuple(self.eos_token_ids))
        for model in filter(None, (self.model, self.ref_model)):
            share_prompts(model, self.temperature)

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
        model = self.accelerator.unwrap_model(self.model_wrapped)
        if self.use_vllm or weights_are_sharded():
            with finite_logits(model):
                return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *more)
        prompts = [tuple(ids) for ids in prompt_ids]
        pad: Any = self.processing_class.pad_token_id
        written = continuations(model, prompts, self.sampler, pad)
        additional = 0
        for _ in range(self.rule.config.resample):
            rows = self._silent(written)
            anew = continuations(model, [prompts[i] for i in rows], self.sampler, pad)
            for i, ids in zip(rows, anew, strict=True):
                written[i] = ids
            additional += len(rows)
        if self.rule.config.resample:
            counts = gather(torch.tensor([additional, len(prompts)], device=self.accelerator.device))
            more, drawn = counts.reshape(-1, 2).sum(dim=0).tolist()
            self._metrics["train"]["resampled"].append(more / drawn)
        return written, None

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self._rows = inputs
        output = super()._generate_and_score_completions(inputs)
        output["advantages"] = self._pooled_advantages  # TRL's divide by another standard deviation
        return output

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> torch.Tensor:
        """Judge this process's completions, gather all, and pool them by fact."""
        answers = [
            self._judge(row, text, len(ids))
            for row, text, ids in zip(inputs, completions, completion_ids_list, strict=True)
        ]
        rollouts = self._gathered(inputs, answers)
        device, first = self.accelerator.device, self.accelerator.process_index * len(answers)
        rewards, advantages = pool(rollouts, len(self.examples.languages), self.num_generations, self.rule)
        mine = slice(first, first + len(answers))
        self._pooled_advantages = torch.tensor(advantages[mine], dtype=torch.float32, device=device)
        self._add_metrics(rollouts, advantages, gather_object(answers))
        self._write_rollouts(prompts, answers, rollouts.score[mine], rewards[mine], advantages[mine])
        return torch.tensor(rewards, dtype=torch.float32, device=device).unsqueeze(1)

    def _gathered(self, inputs: Sequence[dict[str, Any]], answers: Sequence[Answer]) -> Rollouts:
        """The judged completions of all processes, in order."""
        numbers = [
            [
                row["fact"],
                row["language"],
                self.rule.scores.worth(answer.outcome),
                answer.outcome == "correct",
                answer.entity,
                self.examples.facts[row["fact"]][row["language"]].gold_entity,
                answer.outcome != "empty"
                and not wrong_language(answer_line(answer.completion), answer.language),
            ]
            for row, answer in zip(inputs, answers, strict=True)
        ]
        table = gather(torch.tensor(numbers, dtype=torch.float64, device=self.accelerator.device))
        table = table.cpu().numpy()
        whole = table.astype(np.int64)
        return Rollouts(
            whole[:, 0], whole[:, 1], table[:, 2], whole[:, 3] > 0, whole[:, 4], whole[:, 5], whole[:, 6] > 0
        )

    def _silent(self, completion_ids: Sequence[Sequence[int]]) -> list[int]:
        """This process's rows of the facts whose rollouts do not differ in reward."""
        texts = self.processing_class.batch_decode(completion_ids, skip_special_tokens=True)
        answers = [
            self._judge(row, text, len(ids))
            for row, text, ids in zip(self._rows, texts, completion_ids, strict=True)
        ]
        rollouts = self._gathered(self._rows, answers)
        _, advantages = pool(rollouts, len(self.examples.languages), self.num_generations, self.rule)
        block = len(self.examples.languages) * self.num_generations
        silent = np.repeat(~advantages.reshape(-1, block).any(axis=1), block)
        first = self.accelerator.process_index * len(answers)
        return np.flatnonzero(silent[first : first + len(answers)]).tolist()

    def _judge(self, row: dict[str, Any], text: str, n_tokens: int) -> Answer:
        example = self.examples.facts[row["fact"]][row["language"]]
        return judge(example, Completion(text, n_tokens, True), "train", self.minimum_coverage)

    def _add_metrics(self, rollouts: Rollouts, advantages: np.ndarray, answers: Sequence[Answer]) -> None:
        """Add scores, outcomes and lengths of a step to TRL's metrics."""
        shape = (-1, len(self.examples.languages), self.num_generations)
        right = rollouts.correct.reshape(shape)
        metrics = {
            "score": rollouts.score.mean(),
            "right": right.mean(),
            "all_right": right.all(axis=1).mean(),
            "resolved": (rollouts.entity >= 0).mean(),
            "empty": np.mean([answer.outcome == "empty" for answer in answers]),
            "degenerate": np.mean(~advantages.reshape(shape).any(axis=(1, 2))),
        }
        for code in self.examples.languages:
            metrics[f"length/{code}"] = np.mean([a.n_tokens for a in answers if a.language == code])
        for name, value in metrics.items():
            self._metrics["train"][name].append(float(value))

    def _write_rollouts(
        self,
        prompts: Any,
        answers: Sequence[Answer],
        scores: np.ndarray,
        rewards: np.ndarray,
        advantages: np.ndarray,
    ) -> None:
        step = self.state.global_step + 1
        if not self.rollouts_every or step % self.rollouts_every:
            return
        rows = [
            {"step": step, "prompt": prompt, **dataclasses.asdict(answer)}
            | {"score": float(score), "reward": float(reward), "advantage": float(advantage)}
            for prompt, answer, score, reward, advantage in zip(
                prompts, answers, scores, rewards, advantages, strict=True
            )
        ]
        gathered = gather_object(rows)
        if self.rollouts is not None:
            write_table(self.rollouts / f"step-{step:06d}.parquet", gathered)


def _unused(**_: Any) -> list[float]:
    raise AssertionError("rewards are computed in _calculate_rewards")
