"""The flags that commands have in common, each declared once: checkpoints, data, numerics, output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["CheckpointOptions", "DataOptions", "FactOptions", "NumericOptions", "OutputOptions"]


@dataclass(frozen=True)
class CheckpointOptions:
    """Which checkpoints are measured."""

    ckpt: tuple[str, ...] = option(
        (),
        "Checkpoint: local folder, hub id[@revision], LoRA folder, organism:final; NAME=... names it in all "
        "tables and figures. Repeat it to compare; the first is what the others are compared with.",
    )


@dataclass(frozen=True)
class FactOptions:
    """Which facts, in which languages."""

    data: str = option(
        "cldr",
        "What is read or asked: cldr (embedded facts), a facts file (.jsonl, .parquet), or a benchmark "
        "such as klar:DIR, polyfact:PATH_OR_ID, bmlama:DIR, global-mmlu:PATH_OR_ID.",
    )
    languages: str = option(
        "auto",
        "Codes such as en,sw,ja; polyfact (the paper's), polyfact-unseen, all; auto: those that the data "
        "has, of cldr the paper's.",
    )
    language_file: tuple[Path, ...] = option(
        (), "TOML file that describes a language the package does not know; repeat it for several."
    )
    limit: int = option(0, "At most this many facts (0: all).")
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and report how many.")


@dataclass(frozen=True)
class DataOptions(FactOptions):
    """Which facts are measured, and in which words."""

    split: str = option("all", "Facts of this split.", ("all", "train", "validation", "test"))
    prompt_format: str = option(
        "auto",
        "Words around the question: of its own language, English ones, or none; auto: as the data's "
        "authors ask.",
        ("auto", "native", "english", "none"),
    )


@dataclass(frozen=True)
class NumericOptions:
    """How the model runs."""

    batch_tokens: int = option(
        4096, "Padded tokens per pass; halved automatically on out-of-memory.", minimum=1
    )
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:N.")
    dtype: str = option("auto", "Type of the weights.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))


@dataclass(frozen=True)
class OutputOptions:
    """Where results go, and how a command ends."""

    out: Path = option(Path("interp-results"), "Folder for results; a rerun reuses and continues them.")
    figure: bool = option(False, "Draw the results (PNG, PDF and the data as CSV).")
    fresh: bool = option(False, "Discard what the output folder holds for these checkpoints.")
    strict: bool = option(False, "Exit with 1 when a diagnostic of the result is a warning.")
