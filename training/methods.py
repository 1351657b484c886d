"""The one registry of training methods: settings, function, help text, and the family members made with each.

A new method is a module with its function, and here its settings and its entry in `METHODS`. The command
`interp train NAME` and the organism's family follow from the entry.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.config import option
from training.config import SamplingConfig, TrainConfig
from training.progress import Progress

__all__ = [
    "METHODS",
    "CalmConfig",
    "CmAlignConfig",
    "CptConfig",
    "DcoConfig",
    "GrpoConfig",
    "Method",
    "PairsConfig",
    "PlanConfig",
    "SftConfig",
]


@dataclass(frozen=True)
class GrpoConfig(SamplingConfig):
    """Settings of `interp train grpo`."""

    temperature: float = option(1.0, "Sampling temperature.", above=0, maximum=100)
    facts_per_step: int = option(4, "Facts per optimizer step, over all processes.", minimum=1, maximum=10**6)
    pooling: str = option(
        "group",
        "What is rewarded: all languages of a rollout together, each language alone, or agreement as well.",
        ("group", "per_lang", "consistency"),
    )
    score_correct: float = option(
        1.0, "Score of a completion that names the right option.", minimum=-1e6, maximum=1e6
    )
    score_other: float = option(0.0, "Score of one that names another option.", minimum=-1e6, maximum=1e6)
    score_unresolved: float = option(
        -0.5, "Score of one that names no option, or several.", minimum=-1e6, maximum=1e6
    )
    score_empty: float = option(-1.0, "Score of an empty one; must be the lowest.", minimum=-1e6, maximum=1e6)
    score_wrong_language: float | None = option(
        None, "Score of one in another language (unset: as unresolved).", minimum=-1e6, maximum=1e6
    )
    bonus: str = option(
        "all_or_nothing",
        "Bonus for being right in many languages.",
        ("none", "all_or_nothing", "power", "ladder"),
    )
    bonus_size: float = option(1.0, "Largest bonus of all_or_nothing and power.", maximum=10**6)
    bonus_power: float = option(4.0, "Exponent of power.", above=0, maximum=100)
    ladder: tuple[str, ...] = option(
        (), "Rungs of ladder as COUNT:VALUE; default: PolyFact's, for 12 languages."
    )
    anchor: float = option(0.75, "Weight of correctness in the agreement reward, 0 to 1.", maximum=1)
    agreement: float = option(4.0, "Largest agreement reward; for pooling consistency.", maximum=10**6)
    language_reward: float = option(
        0.0,
        "Reward for a completion with words, mostly in a script of its language (0: none).",
        maximum=10**6,
    )
    normalization: str = option(
        "sum",
        "Whether rewards are added and their sum is normalized, or each is normalized in its group (GDPO).",
        ("sum", "each"),
    )
    resample: int = option(
        0,
        "Sample the rollouts of a fact anew while they do not differ in reward, at most so often; metric "
        "resampled: additional completions per completion.",
        maximum=100,
    )
    kl: float = option(0.0, "Weight of the KL divergence from the parent (k3 estimator).", maximum=1000)
    loss: str = option("grpo", "How the loss is averaged over tokens.", ("grpo", "dr_grpo", "dapo"))
    score_at_one: bool = option(
        False, "Compute the loss at temperature 1 whatever the sampler's, as the paper does (biased)."
    )
    repetition_penalty: float = option(
        1.0,
        "Repetition penalty of the sampler (1: off); the paper's 1.3 also penalizes options in the prompt.",
        above=0,
        maximum=100,
    )
    bucketing: bool = option(True, "Batch rows of similar length: the same gradient, less padding.")
    dead_run_patience: int = option(
        50, "Stop after this many steps in a row in which no group of rollouts differs in reward (0: never)."
    )
    collapse: float = option(
        0.25,
        "Stop when the share of completions that name an option falls below this fraction of its best.",
        maximum=1,
    )
    rollouts_every: int = option(10, "Steps between saved tables of rollouts (0: none).")
    vllm: bool = option(False, "Generate with vLLM in the same process (extra train-vllm).")


@dataclass(frozen=True)
class PlanConfig(GrpoConfig):
    """Settings of `interp train plan`: those of a GRPO run, and the machine."""

    processes: int = option(1, "Number of processes, one per device.", minimum=1, maximum=10**6)
    memory: float = option(80.0, "Memory of a device in GB.", above=0, maximum=10**6)


@dataclass(frozen=True)
class SftConfig(TrainConfig):
    """Settings of `interp train sft`."""

    facts_per_step: int = option(4, "Facts per optimizer step, over all processes.", minimum=1, maximum=10**6)
    target: str = option(
        "text", "What is learned: the answer's text, or the letter of its option.", ("text", "letter")
    )
    consistency: float = option(
        0.0, "Weight of the divergence between languages over entities; for target letter.", maximum=1000
    )


@dataclass(frozen=True)
class CptConfig(TrainConfig):
    """Settings of `interp train cpt`."""

    corpus: str = option(
        "facts",
        "Text: 'facts' (facts and names of --data), or a folder of aligned <language>.txt files, line by "
        "line.",
    )
    init: str = option(
        "checkpoint", "Initial weights: the parent's, or random ones.", ("checkpoint", "random")
    )
    block_tokens: int = option(
        256, "Tokens per row; documents are packed and do not attend to each other.", minimum=2, maximum=10**7
    )
    budget: int = option(0, "Tokens per language (0: all there are).", maximum=10**13)
    code_switch: float = option(
        0.0, "Fraction of the facts whose names are replaced by those of another language.", maximum=1
    )
    lexicon: float = option(
        0.3, "Fraction of the documents that are aligned names; for corpus facts.", maximum=1
    )
    rows_per_step: int = option(32, "Rows per optimizer step, over all processes.", minimum=1, maximum=10**6)


@dataclass(frozen=True)
class PairsConfig(SamplingConfig):
    """Settings of the methods that learn from preference pairs."""

    pairs_per_step: int = option(
        16, "Pairs per optimizer step, over all processes.", minimum=1, maximum=10**6
    )
    micro_batch: int = option(0, "Pairs per forward and backward pass and process (0: automatic).")
    beta: float = option(0.1, "Strength of the pull towards the parent (DPO).", above=0, maximum=1000)
    length_normalized: bool = option(False, "Divide log-probabilities by the number of tokens.")
    pairs: Path | None = option(None, "Train on these saved pairs (.jsonl) instead of sampling new ones.")
    sample_batch: int = option(96, "Prompts per batch of sampling.", minimum=1, maximum=10**6)


@dataclass(frozen=True)
class CalmConfig(PairsConfig):
    """Settings of `interp train calm`."""

    canonical: bool = option(
        True, "Where no sample of a language names the winner, prefer the option's own name."
    )


@dataclass(frozen=True)
class CmAlignConfig(PairsConfig):
    """Settings of `interp train cm-align`."""

    pivot: str = option("en", "Language whose majority answer the others follow.")
    canonical: bool = option(
        False, "Where no sample of a language names the winner, prefer the option's own name."
    )


@dataclass(frozen=True)
class DcoConfig(TrainConfig):
    """Settings of `interp train dco`."""

    instances_per_step: int = option(
        16, "Instances per optimizer step, over all processes.", minimum=1, maximum=10**6
    )
    micro_batch: int = option(
        0, "Instances, of four rows each, per forward and backward pass and process (0: automatic)."
    )
    beta: float = option(
        1.0, "Weight of the second language's odds; 1 treats both alike.", above=0, maximum=1000
    )
    instances: int = option(
        5000, "Number of instances: a fact, two languages and two candidate answers.", minimum=1
    )


@dataclass(frozen=True)
class Method:
    """A training method.

    Attributes:
        config: Its settings.
        function: Where it is, as ``module:name``; imported when it runs, since it needs the train extra.
        help: What it does, in a sentence.
        example: Flags of an example, after ``interp train NAME``.
        members: Members of the organism's family that it makes; ``configs/organism/<member>.toml`` has their
            settings.
    """

    config: type[TrainConfig]
    function: str
    help: str
    example: str
    members: tuple[str, ...] = ()

    def train(self, config: TrainConfig, progress: Progress | None = None) -> Path:
        """Train, or continue a run, and return the folder of the final checkpoint."""
        module, _, name = self.function.partition(":")
        train: Callable[[Any, Progress | None], Path] = getattr(importlib.import_module(module), name)
        return train(config, progress)


METHODS: dict[str, Method] = {
    "sft": Method(
        SftConfig,
        "training.sft:train_sft",
        "Fine-tune on the right answers: their text, or the letter of their option.",
        "--model organism:final --steps 50 --facts-per-step 16 --lr 1e-4 --out sft",
        ("sft",),
    ),
    "grpo": Method(
        GrpoConfig,
        "training.grpo:train_grpo",
        "Train with GRPO: one completion per language is a rollout, and its languages can share the reward.",
        "--model organism:final --steps 50 --new-tokens 12 --lr 1e-4 --out grpo",
        ("grpo", "grpo-per-lang"),
    ),
    "calm": Method(
        CalmConfig,
        "training.preference:train_calm",
        "Prefer what most languages answer (CALM): sample, vote over entities, DPO. Uses no gold answers.",
        "--model organism:final --steps 50 --new-tokens 12 --out calm",
        ("calm",),
    ),
    "cm-align": Method(
        CmAlignConfig,
        "training.preference:train_cm_align",
        "Prefer what the pivot language answers (CM-Align), with DPO. Uses no gold answers.",
        "--model organism:final --steps 50 --new-tokens 12 --out cm-align",
    ),
    "dco": Method(
        DcoConfig,
        "training.dco:train_dco",
        "Make pairs of languages agree on their odds between two answers (DCO). Uses no gold answers.",
        "--model organism:final --steps 100 --out dco",
        ("dco",),
    ),
    "cpt": Method(
        CptConfig,
        "training.cpt:train_cpt",
        "Continue pre-training on parallel text: facts and names, or aligned lines of your own.",
        "--model organism:final --code-switch 0.5 --steps 100 --lr 3e-4 --out cpt",
        ("cpt",),
    ),
}
"""Name on the command line to method."""
