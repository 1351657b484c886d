"""What `interp evaluate` asks, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["CLUSTERS", "MATCHING", "NORMALIZING", "EvaluationConfig"]

NORMALIZING = ("sum", "token", "character", "byte")
MATCHING = ("strict", "boundary", "anywhere", "prefix", "published")
CLUSTERS = ("group", "fact", "answer")


@dataclass(frozen=True)
class EvaluationConfig:
    """What `interp evaluate` asks, and how."""

    ckpt: tuple[str, ...] = option(
        (), "Checkpoint: local folder, hub id[@revision], LoRA folder, organism:final."
    )
    benchmark: str = option(
        "cldr",
        "What is asked: cldr, a facts file (.jsonl, .parquet), klar:DIR, bmlama:DIR, global-mmlu:PATH_OR_ID, "
        "polyfact:PATH_OR_ID.",
    )
    mode: str = option("mcq", "Multiple choice by log-likelihood, or greedy generation.", ("mcq", "generate"))
    languages: str = option(
        "auto",
        "Codes such as en,sw,ja; paper (12), unseen (10), all (22); auto: the benchmark's, of cldr the paper's.",
    )
    out: Path = option(Path("interp-evaluate"), "Folder for results; a rerun continues it.")
    split: str = option("all", "Facts of this split.", ("all", "train", "validation", "test"))
    limit: int = option(0, "At most this many facts (0: all).")
    prompt_format: str = option(
        "auto",
        "Words around the question; auto: as the benchmark asks.",
        ("auto", "native", "english", "none"),
    )
    normalization: str = option(
        "byte", "What a summed log-probability is divided by; changing it needs no model.", NORMALIZING
    )
    match: str = option(
        "auto",
        "When a generated text names the answer; changing it needs no model. auto: boundary, or what --protocol uses.",
        ("auto", *MATCHING),
    )
    shots: int | None = option(
        None, "Answered questions before each, with generate (default: 3 for klar, else 0)."
    )
    new_tokens: int | None = option(None, "Longest generated answer (default: 10 for klar, else 16).")
    protocol: str = option(
        "interp",
        "Whose prompts for klar: ours, KLAR-CLC's, PolyFact's evaluation.",
        ("interp", "upstream", "published"),
    )
    template: int = option(0, "Which of klar's question templates, from 0.")
    alignment: Path | None = option(None, "Option alignment (JSON) for polyfact data without option ids.")
    contaminated: Path | None = option(None, "JSON of fact ids that the training data held; reported apart.")
    cluster: str = option(
        "group",
        "What facts of one cluster share in intervals: their group, nothing (fact), or their answer.",
        CLUSTERS,
    )
    batch_tokens: int = option(4096, "Padded tokens per forward pass; halved by itself when memory runs out.")
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:<n>.")
    dtype: str = option("auto", "Weights' type.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    figure: bool = option(False, "Draw accuracy per language and the changes (PNG, PDF and the data as CSV).")
    fresh: bool = option(False, "Discard what the output folder holds for these checkpoints.")
    strict: bool = option(False, "Exit with 1 when a model is above chance in no language.")
