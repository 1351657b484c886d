"""What `interp specialization` measures, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["SpecializationConfig"]


@dataclass(frozen=True)
class SpecializationConfig:
    """What `interp specialization` measures, and how."""

    ckpt: tuple[str, ...] = option(
        (), "Checkpoint: local folder, hub id[@revision], LoRA folder, organism:final."
    )
    prompts: str = option(
        "cldr", "What is read: 'cldr', a facts file (.jsonl, .parquet), or a folder of text."
    )
    languages: str = option("polyfact", "Codes such as en,sw,ja; or polyfact, polyfact-unseen, all.")
    units: str = option("all", "Which units.", ("neurons", "heads", "all"))
    out: Path = option(Path("interp-specialization"), "Folder for results; a rerun continues it.")
    split: str = option("all", "Facts of this split.", ("all", "train", "validation", "test"))
    limit: int = option(0, "At most this many facts (0: all).")
    prompt_format: str = option("native", "Words around the question.", ("native", "english", "none"))
    blocks: int = option(8, "Groups of facts that carry the uncertainty; the same for every checkpoint.")
    head_items: int = option(64, "Facts per language for head importance (0: all); one backward each.")
    mask: str = option(
        "frozen", "LAHIS mask; 'trained' repeats upstream's drifting one.", ("frozen", "trained")
    )
    min_tokens: int = option(1000, "Fewest tokens per language for neurons.")
    batch_tokens: int = option(4096, "Padded tokens per forward pass; halved by itself when memory runs out.")
    padding: str = option("right", "Padding side.", ("right", "left"))
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:<n>.")
    dtype: str = option("auto", "Weights' type.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    figure: bool = option(
        False, "Draw per-layer curves and per-language counts (PNG, PDF and the data as CSV)."
    )
    fresh: bool = option(False, "Discard what the output folder holds for these checkpoints.")
    strict: bool = option(False, "Exit with 1 when a sanity check of the result fails.")
