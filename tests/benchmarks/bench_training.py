"""What a GRPO step costs beside one of stock TRL, with prompts of equal and of skewed length, and write it
down.

``python -m tests.benchmarks.bench_training [--repeats 9] [--threads 1]``
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trl import GRPOConfig, GRPOTrainer

from interp.model.generation import Completion
from tests.benchmarks.bench_specialization import describe_machine
from tests.benchmarks.timing import interleave, paired
from tests.support.tiny import byte_tokenizer, tiny_model
from training.examples import Example, ExampleSet
from training.methods import GrpoConfig
from training.rollouts.pool import RewardRule
from training.rollouts.trainer import PooledGRPOTrainer, fact_rows
from training.run.evaluation import judge

HERE = Path(__file__).parent
LANGUAGES = ("en", "de", "id", "pt", "ar", "bn", "sw", "es", "ru", "fr", "ja", "zh")
GENERATIONS, NEW_TOKENS = 8, 8
EQUAL = [64] * len(LANGUAGES)
SKEWED = [24, 24, 26, 28, 28, 30, 32, 36, 40, 48, 92, 144]  # tokens of a prompt; mean 46
SHAPE = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
TARGETS = {
    "overhead": "pooled, no buckets / stock TRL, prompts of 64 tokens (target: at most 1.05)",
    "speedup": "stock TRL / pooled with buckets, prompts of 24 to 144 tokens (target: at least 1.6)",
}


def main() -> None:
    """Run both and write results/training.json and training.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    loads = [os.getloadavg()[0]]
    equal, skewed = bench(EQUAL, options.repeats), bench(SKEWED, options.repeats)
    loads.append(os.getloadavg()[0])
    results = {
        "machine": describe_machine(options.threads, loads),
        "repeats": options.repeats,
        "overhead": paired(equal, "pooled", "stock"),
        "speedup": paired(skewed, "stock", "bucketed"),
        "seconds_per_step": {
            name: {key: float(np.median(value)) for key, value in cpu.items()}
            for name, cpu in (("equal", equal), ("skewed", skewed))
        },
    }
    (HERE / "results" / "training.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "training.md").write_text(as_markdown(results))
    print(as_markdown(results))


def bench(lengths: list[int], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of one optimizer step of 96 completions in 4 micro-batches."""
    examples = one_fact(lengths)
    with tempfile.TemporaryDirectory() as folder:
        steps = {
            "stock": Step(stock(examples, folder), examples),
            "pooled": Step(pooled(examples, folder, bucketing=False), examples),
            "bucketed": Step(pooled(examples, folder, bucketing=True), examples),
        }
        cpu, _ = interleave({name: step.run for name, step in steps.items()}, repeats)
    return cpu


class Step:
    """One optimizer step of a trainer, without its loop of dates, logs and files."""

    def __init__(self, trainer: GRPOTrainer, examples: ExampleSet):
        self.trainer = trainer
        self.rows = [row for row in fact_rows(examples) for _ in range(GENERATIONS)]
        trainer.create_optimizer_and_scheduler(num_training_steps=1000)
        trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
        trainer.model.train()

    def run(self) -> None:
        """Sample, judge, go forward and backward, update."""
        for _ in range(self.trainer.args.gradient_accumulation_steps):
            self.trainer.training_step(self.trainer.model, list(self.rows), None)
        self.trainer.optimizer.step()
        self.trainer.optimizer.zero_grad()


def stock(examples: ExampleSet, folder: str) -> GRPOTrainer:
    """TRL as it is, with a plain reward function that judges by the same matcher."""

    def reward(completions: list[str], language: list[int], **_: Any) -> list[float]:
        said = [
            judge(examples.facts[0][number], Completion(text, 0, True))
            for text, number in zip(completions, language, strict=True)
        ]
        scores = np.array([RewardRule(GrpoConfig()).scores.worth(answer.outcome) for answer in said])
        rollouts = scores.reshape(len(LANGUAGES), GENERATIONS).sum(axis=0)
        return np.tile(rollouts, len(LANGUAGES)).tolist()

    return GRPOTrainer(
        model=tiny_model("qwen2", **SHAPE, max_position_embeddings=256).requires_grad_(True),
        reward_funcs=[reward],
        args=_arguments(folder),
        train_dataset=fact_rows(examples),
        processing_class=byte_tokenizer(),
    )


def pooled(examples: ExampleSet, folder: str, *, bucketing: bool) -> PooledGRPOTrainer:
    """Ours."""
    return PooledGRPOTrainer(
        examples=examples,
        rule=RewardRule(GrpoConfig()),
        bucketing=bucketing,
        rollouts_every=0,
        model=tiny_model("qwen2", **SHAPE, max_position_embeddings=256).requires_grad_(True),
        args=_arguments(folder),
        processing_class=byte_tokenizer(),
    )


def one_fact(lengths: list[int]) -> ExampleSet:
    """A fact whose prompt has so many bytes, which are tokens, in each language."""
    options = ("alpha", "beta", "gamma", "delta")
    rows = [
        Example("f", code, "x" * length, " ", options, 0, (0, 1, 2, 3), options, ())
        for code, length in zip(LANGUAGES, lengths, strict=True)
    ]
    return ExampleSet(LANGUAGES, (tuple(rows),), {})


def as_markdown(results: dict[str, Any]) -> str:
    """The page beside the numbers."""
    machine = results["machine"]
    rows = [
        f"| {text} | {results[name]['median']:.2f} [{results[name]['min']:.2f}, {results[name]['max']:.2f}] |"
        for name, text in TARGETS.items()
    ]
    seconds = [
        f"| {shape} prompts | " + " | ".join(f"{each[n]:.2f}" for n in ("stock", "pooled", "bucketed")) + " |"
        for shape, each in results["seconds_per_step"].items()
    ]
    return "\n".join(
        [
            "# A GRPO step",
            "",
            f"    python -m tests.benchmarks.bench_training --repeats {results['repeats']} --threads "
            f"{machine['threads']}",
            "",
            "Written by that command from `results/training.json`; do not edit. One fact in 12 languages "
            "with 8 completions of",
            "8 tokens, 4 micro-batches of 24 rows, a random Qwen2 (6 layers, d = 192), float32. Ratios of "
            "process CPU time,",
            "paired within a repeat, all candidates interleaved: median [least, greatest].",
            "",
            f"{machine['date']}, commit {machine['commit']}. {machine['cpu']}, {machine['cores']} cores; "
            f"threads used: {machine['threads']}; load average before and after: "
            f"{machine['load_before_and_after'][0]:.1f} and {machine['load_before_and_after'][1]:.1f}.",
            "",
            "| | ratio |",
            "|---|---:|",
            *rows,
            "",
            "| CPU seconds per step | stock TRL | pooled | pooled, buckets |",
            "|---|---:|---:|---:|",
            *seconds,
            "",
        ]
    )


def _arguments(folder: str) -> GRPOConfig:
    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=24,
        gradient_accumulation_steps=4,
        num_generations=GENERATIONS,
        max_completion_length=NEW_TOKENS,
        generation_kwargs={"min_new_tokens": NEW_TOKENS},
        loss_type="grpo",
        beta=0.0,
        learning_rate=1e-6,
        shuffle_dataset=False,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        max_steps=1000,
        remove_unused_columns=False,
    )


if __name__ == "__main__":
    main()
