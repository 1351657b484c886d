"""What `interp lens` reads, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["LensConfig"]


@dataclass(frozen=True)
class LensConfig:
    """What `interp lens` reads, and how."""

    ckpt: tuple[str, ...] = option(
        (), "Checkpoint: local folder, hub id[@revision], LoRA folder, organism:final."
    )
    prompts: str = option(
        "facts", "What is named: facts, translation, repetition, cloze, or a facts file (.jsonl, .parquet)."
    )
    languages: str = option("polyfact", "Codes such as en,sw,ja; or polyfact, polyfact-unseen, all.")
    pivot: str = option(
        "en", "Language that the others are compared with; changing it needs no model but for translation."
    )
    out: Path = option(Path("interp-lens"), "Folder for results; a rerun continues it.")
    split: str = option("all", "Facts or concepts of this split.", ("all", "train", "validation", "test"))
    limit: int = option(0, "At most this many facts or concepts (0: all).")
    shots: int | None = option(None, "Answered prompts that stand first (default: 0 for facts, else 4).")
    prompt_format: str = option("native", "Words around a question.", ("native", "english", "none"))
    source: str = option(
        "", "Language to translate from (default: the first that is neither the target nor the pivot)."
    )
    position: str = option(
        "last",
        "Token that is read: the last of the prompt, or of what it asks about.",
        ("last", "subject_last"),
    )
    tokens: str = option(
        "prefix", "Tokens of a word: all that begin it, or the tokenizer's first.", ("prefix", "first")
    )
    tuned: bool = option(False, "Also fit a tuned lens, as a control, and read with it.")
    tuned_text: str = option(
        "",
        "What the tuned lens is fitted on: 'cldr', a facts file or a folder of text (default: the prompts, with their answers).",
    )
    tuned_positions: int = option(8192, "Tokens that the tuned lens is fitted and tried on.")
    tuned_steps: int = option(160, "Steps of the fit.")
    batch_tokens: int = option(4096, "Padded tokens per forward pass; halved by itself when memory runs out.")
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:<n>.")
    dtype: str = option("auto", "Weights' type.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    figure: bool = option(False, "Draw the curves and heat strips (PNG, PDF and the data as CSV).")
    fresh: bool = option(False, "Discard what the output folder holds for these checkpoints.")
    strict: bool = option(False, "Exit with 1 when a sanity check of the result fails.")
