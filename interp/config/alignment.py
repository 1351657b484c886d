"""What `interp align` compares across languages, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["AlignmentConfig"]


@dataclass(frozen=True)
class AlignmentConfig:
    """What `interp align` compares across languages, and how."""

    ckpt: tuple[str, ...] = option(
        (), "Checkpoint: local folder, hub id[@revision], LoRA folder, organism:final."
    )
    prompts: str = option(
        "cldr", "Translations: 'cldr', a facts file (.jsonl, .parquet), or a folder of parallel text."
    )
    languages: str = option("polyfact", "Codes such as en,sw,ja; or polyfact, polyfact-unseen, all.")
    embedding: str = option(
        "weighted", "A prompt's vector: mean weighted by position, or last token.", ("weighted", "last")
    )
    layers: str = option("all", "all, or numbers from 0 such as 0,3,7; 'embedding' is what enters layer 0.")
    out: Path = option(Path("interp-align"), "Folder for results; a rerun reuses what is done.")
    split: str = option("all", "Facts of this split.", ("all", "train", "validation", "test"))
    limit: int = option(0, "At most this many facts (0: all; MEXA's authors use 100 sentences).")
    prompt_format: str = option("native", "Words around the question.", ("native", "english", "none"))
    batch_tokens: int = option(4096, "Padded tokens per forward pass; halved by itself when memory runs out.")
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:<n>.")
    dtype: str = option("auto", "Weights' type.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    figure: bool = option(False, "Draw alignment per layer and pair matrices (PNG, PDF and CSV).")
    fresh: bool = option(False, "Discard what the output folder holds for these checkpoints.")
    strict: bool = option(False, "Exit with 1 when a sanity check of the result fails.")
