"""Settings that all training methods share: fields are flags of `interp train` and keys of its TOML files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config import LARGEST_SEED, option
from interp.config.shared import FactOptions

__all__ = ["SamplingConfig", "TrainConfig"]


@dataclass(frozen=True)
class TrainConfig(FactOptions):
    """Settings of every method. ``limit`` is of the train split; the test split is never read."""

    model: str = option("", "Parent checkpoint: folder, hub id[@revision], LoRA folder, organism:final.")
    out: Path = option(Path("interp-train"), "Folder of the run; a rerun continues it.")
    prompt: str = option(
        "question", "What a prompt shows: the question, or its options too.", ("question", "options")
    )
    shots: int = option(
        0, "Answered questions before each, of train facts of its relation, never of its own subject."
    )
    prompt_format: str = option("native", "Language of the words around the question.", ("native", "english"))
    max_prompt_tokens: int = option(
        512,
        "Leave out, and count, facts whose prompt is longer than this in any language.",
        minimum=1,
        maximum=10**6,
    )
    steps: int = option(0, "Optimizer steps (0: as many as the epochs have).", maximum=10**8)
    epochs: int = option(1, "Passes over the data, when steps is 0.", minimum=1, maximum=10**4)
    micro_batch: int = option(
        0, "Rows per forward and backward pass and process (0: automatic).", maximum=10**6
    )
    lr: float = option(1e-5, "Peak learning rate of AdamW.", above=0, maximum=1)
    schedule: str = option("cosine", "Learning rate after warm-up.", ("cosine", "linear", "constant"))
    warmup: float = option(
        0.03, "Fraction of the steps in which the learning rate rises linearly.", maximum=1
    )
    weight_decay: float = option(0.01, "Weight decay of AdamW.", maximum=100)
    max_grad_norm: float = option(1.0, "Gradients are clipped to this norm.", above=0)
    seed: int = option(0, "Seed of data order and sampling.", maximum=LARGEST_SEED)
    lora_rank: int = option(0, "Rank of a LoRA adapter (0: train all weights).", maximum=8192)
    lora_alpha: int = option(0, "Scaling alpha of the adapter (0: twice its rank).", maximum=10**5)
    lora_targets: str = option(
        "all-linear", "Linear layers that get an adapter.", ("all-linear", "attention")
    )
    dtype: str = option(
        "auto",
        "Type of the weights during training; auto is float32, or bfloat16 under an adapter on a GPU.",
        ("auto", "float32", "bfloat16"),
    )
    device: str = option("auto", "Where training runs; auto takes a GPU if there is one.", ("auto", "cpu"))
    checkpointing: bool = option(
        False, "Recompute activations in the backward pass: less memory, about 20 % slower."
    )
    eval_every: int = option(50, "Steps between evaluations (0: only before and after training).")
    eval_facts: int = option(
        64, "Validation facts per evaluation, and as many train facts (0: no evaluation)."
    )
    save_every: int = option(50, "Steps between saved states.", minimum=1)
    keep: int = option(
        2,
        "Number of saved states to keep; of one, a kill during saving loses everything.",
        minimum=2,
        maximum=10**4,
    )
    report_to: str = option(
        "none",
        "Experiment tracker; metrics.jsonl is written in any case.",
        ("none", "tensorboard", "wandb", "mlflow", "trackio"),
    )
    fresh: bool = option(False, "Discard what the output folder holds.")


@dataclass(frozen=True)
class SamplingConfig(TrainConfig):
    """Settings of the methods that sample from the model."""

    generations: int = option(8, "Completions per fact and language.", minimum=1, maximum=1024)
    new_tokens: int = option(48, "Maximum number of tokens of a completion.", minimum=1, maximum=65_536)
    temperature: float = option(1.0, "Sampling temperature.", maximum=100)
    top_p: float = option(
        1.0, "Nucleus sampling: total probability of the tokens that are drawn from.", above=0, maximum=1
    )
    stop_at_newline: bool = option(
        False, "End a completion at a line break; base models otherwise go on with new questions."
    )
    minimum_coverage: float = option(
        0.5,
        "A completion that is part of an option names it if it has at least this fraction of it.",
        above=0,
        maximum=1,
    )
