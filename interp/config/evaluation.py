"""What `interp evaluate` asks, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["EvaluationConfig"]


@dataclass(frozen=True)
class EvaluationConfig:
    """What `interp evaluate` asks, and how."""

    ckpt: tuple[str, ...] = option(
        (), "Checkpoint: local folder, hub id[@revision], LoRA folder, organism:final."
    )
    facts: str = option("cldr", "Facts: 'cldr' or a file (.jsonl, .parquet).")
    languages: str = option("paper", "Codes such as en,sw,ja; or paper (12), unseen (10), all (22).")
    out: Path = option(Path("interp-evaluate"), "Folder for results; a rerun reuses what is done.")
    split: str = option("all", "Facts of this split.", ("all", "train", "validation", "test"))
    limit: int = option(0, "At most this many facts (0: all).")
    scaffold: str = option("native", "Words around the question.", ("native", "english", "none"))
    normalization: str = option(
        "byte",
        "What a summed log-probability is divided by; changing it needs no model.",
        ("sum", "token", "character", "byte"),
    )
    batch_tokens: int = option(4096, "Padded tokens per forward pass; halved by itself when memory runs out.")
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:<n>.")
    dtype: str = option("auto", "Weights' type.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    fresh: bool = option(False, "Discard what the output folder holds for these checkpoints.")
    strict: bool = option(False, "Exit with 1 when a model is above chance in no language.")
