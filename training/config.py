"""What `interp train` can be told: one dataclass per method, whose fields are flags and keys of its TOML file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from interp.config import option

__all__ = [
    "CONFIGS",
    "CalmConfig",
    "CmAlignConfig",
    "CptConfig",
    "DcoConfig",
    "GrpoConfig",
    "SftConfig",
    "TrainConfig",
]


@dataclass(frozen=True)
class TrainConfig:
    """What every method needs to know."""

    model: str = option(
        "", "Checkpoint to start from: folder, hub id[@revision], LoRA folder, organism:final."
    )
    facts: str = option(
        "cldr", "Facts: 'cldr' or a file (.jsonl, .parquet); splits train and validation are used."
    )
    out: Path = option(Path("interp-train"), "Folder for the run; a rerun continues it.")
    languages: str = option("polyfact", "Codes such as en,sw,ja; or polyfact, polyfact-unseen, all.")
    limit: int = option(0, "At most this many facts of the train split (0: all).")
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    prompt: str = option("question", "Whether the options are shown.", ("question", "options"))
    prompt_format: str = option("native", "Language of the words around the question.", ("native", "english"))
    max_prompt_tokens: int = option(
        512, "Facts with a longer prompt in any language are left out and counted."
    )
    steps: int = option(0, "Optimizer steps (0: as many as the epochs have).")
    epochs: int = option(1, "Passes over the facts, unless steps are given.")
    micro_batch: int = option(0, "Rows per forward and backward pass and process (0: chosen).")
    lr: float = option(1e-5, "Peak learning rate of AdamW.")
    schedule: str = option("cosine", "Learning rate after the warm-up.", ("cosine", "linear", "constant"))
    warmup: float = option(0.03, "Share of the steps in which the learning rate rises.")
    weight_decay: float = option(0.01, "Of AdamW.")
    max_grad_norm: float = option(1.0, "Longer gradients are cut to this norm.")
    seed: int = option(0, "Of the order of the facts and of the sampling.")
    lora_rank: int = option(0, "Rank of a LoRA adapter on all linear layers (0: all weights are trained).")
    lora_alpha: int = option(0, "Scale of the adapter (0: twice its rank).")
    lora_targets: str = option("all-linear", "Layers with an adapter.", ("all-linear", "attention"))
    dtype: str = option(
        "auto",
        "Weights while training; auto: float32, and bfloat16 under an adapter on a GPU.",
        ("auto", "float32", "bfloat16"),
    )
    device: str = option("auto", "Where it runs; auto takes the GPUs there are.", ("auto", "cpu"))
    checkpointing: bool = option(
        False, "Recompute activations in the backward pass: less memory, 20 % slower."
    )
    eval_every: int = option(50, "Steps between two evaluations on validation facts (0: at both ends only).")
    eval_facts: int = option(
        64, "Validation facts per evaluation, and as many train facts (0: no evaluation)."
    )
    save_every: int = option(50, "Steps between two saved states.")
    keep: int = option(2, "Saved states that are kept, 2 or more.")
    report_to: str = option(
        "none",
        "Tracker; metrics.jsonl is written in any case.",
        ("none", "tensorboard", "wandb", "mlflow", "trackio"),
    )
    fresh: bool = option(False, "Discard what the output folder holds.")


@dataclass(frozen=True)
class SamplingConfig(TrainConfig):
    """What methods that sample from the model need to know."""

    generations: int = option(8, "Completions per fact and language.")
    new_tokens: int = option(48, "Longest completion.")
    temperature: float = option(1.0, "Of the sampler.")
    top_p: float = option(1.0, "Of the sampler.")
    stop_at_newline: bool = option(False, "A line break ends a completion; base models ramble otherwise.")
    minimum_coverage: float = option(
        0.5, "Smallest share of an option that a part of it must have to name it."
    )


@dataclass(frozen=True)
class GrpoConfig(SamplingConfig):
    """What `interp train grpo` does."""

    facts_per_step: int = option(4, "Facts per optimizer step, over all processes.")
    pooling: str = option(
        "group",
        "What rewards one rollout: all its languages, each on its own, or agreement.",
        ("group", "per_lang", "consistency"),
    )
    score_correct: float = option(
        1.0, "Score of a completion that names the right option.", minimum=-math.inf
    )
    score_other: float = option(0.0, "Score of one that names another option.", minimum=-math.inf)
    score_unresolved: float = option(-0.5, "Score of one that names none, or several.", minimum=-math.inf)
    score_empty: float = option(-1.0, "Score of an empty one; must be the lowest.", minimum=-math.inf)
    score_wrong_language: float | None = option(
        None, "Score of one in another language (unset: as unresolved).", minimum=-math.inf
    )
    bonus: str = option(
        "all_or_nothing", "Bonus for many right languages.", ("none", "all_or_nothing", "power", "ladder")
    )
    bonus_size: float = option(1.0, "Largest bonus of all_or_nothing and power.")
    bonus_power: float = option(4.0, "Exponent of power.")
    ladder: tuple[str, ...] = option(
        (), "Rungs of ladder as COUNT:VALUE; PolyFact's for 12 languages by default."
    )
    anchor: float = option(0.75, "Weight of being right within the agreement term, 0 to 1.")
    agreement: float = option(4.0, "Largest value of the agreement term; for pooling consistency.")
    kl: float = option(0.0, "Weight of the KL divergence (k3) from the start.")
    loss: str = option("grpo", "How tokens are averaged.", ("grpo", "dr_grpo", "dapo"))
    score_at_one: bool = option(
        False, "Score at temperature 1 what was sampled otherwise, as the paper does (biased)."
    )
    repetition_penalty: float = option(1.0, "1 is off; the paper's 1.3 penalizes the options in the prompt.")
    bucketing: bool = option(True, "Rows of similar length together: the same gradient, less padding.")
    dead_run_patience: int = option(
        50, "Stop after this many steps in which no group of rollouts differed (0: never)."
    )
    collapse: float = option(
        0.25, "Stop when the share of resolved completions falls below this share of its best."
    )
    rollouts_every: int = option(10, "Steps between two tables of rollouts (0: none).")
    vllm: bool = option(False, "Generate with vLLM in the same process (extra train-vllm).")


@dataclass(frozen=True)
class SftConfig(TrainConfig):
    """What `interp train sft` does."""

    facts_per_step: int = option(4, "Facts per optimizer step, over all processes.")
    target: str = option(
        "text", "What is learned: the answer's text, or the letter of its option.", ("text", "letter")
    )
    consistency: float = option(
        0.0, "Weight of the divergence between languages over entities; for target letter."
    )


@dataclass(frozen=True)
class CptConfig(TrainConfig):
    """What `interp train cpt` does."""

    corpus: str = option(
        "facts",
        "Text: 'facts' (names and facts of --facts), or a folder of aligned <language>.txt files, line by line.",
    )
    init: str = option("checkpoint", "Start from the weights, or from random ones.", ("checkpoint", "random"))
    block_tokens: int = option(256, "Tokens per row; documents are packed and cannot see each other.")
    budget: int = option(0, "Tokens per language (0: all there are).")
    code_switch: float = option(
        0.0, "Share of the texts in which names are replaced by their names in another language."
    )
    lexicon: float = option(0.3, "Share of the documents that are aligned names; for corpus facts.")
    rows_per_step: int = option(32, "Rows per optimizer step, over all processes.")


@dataclass(frozen=True)
class PairsConfig(SamplingConfig):
    """What the preference methods that sample need to know."""

    pairs_per_step: int = option(16, "Pairs per optimizer step, over all processes.")
    micro_batch: int = option(0, "Pairs per forward and backward pass and process (0: chosen).")
    beta: float = option(0.1, "Strength of the pull towards the start (DPO).")
    length_normalized: bool = option(False, "Divide log-probabilities by the number of tokens.")
    pairs: Path | None = option(None, "Use these saved pairs (.jsonl) instead of making them.")
    sample_batch: int = option(96, "Prompts per batch of sampling.")


@dataclass(frozen=True)
class CalmConfig(PairsConfig):
    """What `interp train calm` does."""

    canonical: bool = option(
        True, "Where a language never says the winner, the option's own name is the chosen answer."
    )


@dataclass(frozen=True)
class CmAlignConfig(PairsConfig):
    """What `interp train cm-align` does."""

    pivot: str = option("en", "The language whose majority the others follow.")
    canonical: bool = option(
        False, "Where a language never says the winner, the option's own name is the chosen answer."
    )


@dataclass(frozen=True)
class DcoConfig(TrainConfig):
    """What `interp train dco` does."""

    instances_per_step: int = option(16, "Instances per optimizer step, over all processes.")
    micro_batch: int = option(
        0, "Instances, four rows each, per forward and backward pass and process (0: chosen)."
    )
    beta: float = option(1.0, "Weight of the second language's odds; 1 treats both alike.")
    instances: int = option(5000, "Pairs of languages and candidates.")


@dataclass(frozen=True)
class PlanConfig(GrpoConfig):
    """What `interp train plan` is asked: the settings of a GRPO run, and where it would run."""

    processes: int = option(1, "Processes, one per device.")
    memory: float = option(80.0, "Memory of a device in GB.")


CONFIGS: dict[str, type[TrainConfig]] = {
    "cpt": CptConfig,
    "sft": SftConfig,
    "grpo": GrpoConfig,
    "calm": CalmConfig,
    "cm-align": CmAlignConfig,
    "dco": DcoConfig,
}
"""Method to what it can be told."""
