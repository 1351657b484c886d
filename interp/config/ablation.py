"""What `interp ablate` removes, and what it asks then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["AblationConfig"]


@dataclass(frozen=True)
class AblationConfig:
    """What `interp ablate` removes, and what it asks then."""

    ckpt: tuple[str, ...] = option(
        (), "Checkpoint: local folder, hub id[@revision], LoRA folder, organism:final."
    )
    facts: str = option("cldr", "Facts: cldr, a file (.jsonl, .parquet), or a benchmark such as klar:DIR.")
    languages: str = option("polyfact", "Codes such as en,sw,ja; or polyfact, polyfact-unseen, all.")
    units: str = option("neurons", "What is removed.", ("neurons", "heads"))
    count: int = option(0, "Units removed per language (0: 1 % of the neurons, 2 % of the heads).")
    rule: str = option(
        "specialized",
        "Which units are a language's own: more so than on average, or (heads) by LAHIS importance alone.",
        ("specialized", "important"),
    )
    mode: str = option(
        "zero", "What a removed unit is set to: 0, or its mean over languages.", ("zero", "mean")
    )
    draws: int = option(3, "Random sets of units, per language, that the harm is held against.")
    seed: int = option(0, "Seed of the random sets.")
    out: Path = option(Path("interp-ablate"), "Folder for results; a rerun continues it.")
    split: str = option("all", "Facts of this split.", ("all", "train", "validation", "test"))
    limit: int = option(
        100, "At most this many facts are asked (0: all); every set of units asks each in all languages."
    )
    read: int = option(0, "At most this many facts select the units (0: all of the split).")
    prompt_format: str = option(
        "auto",
        "Words around the question; auto: as the facts' authors ask.",
        ("auto", "native", "english", "none"),
    )
    min_tokens: int = option(1000, "Fewest tokens per language to select neurons.")
    batch_tokens: int = option(4096, "Padded tokens per forward pass; halved by itself when memory runs out.")
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:<n>.")
    dtype: str = option("auto", "Weights' type.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    figure: bool = option(False, "Draw a matrix of languages per checkpoint (PNG, PDF and CSV).")
    fresh: bool = option(
        False, "Discard what the output folder holds for these checkpoints, selected units included."
    )
    strict: bool = option(False, "Exit with 1 when a sanity check of the result fails.")
