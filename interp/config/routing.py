"""What `interp routing` attributes, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["RoutingConfig"]


@dataclass(frozen=True)
class RoutingConfig:
    """What `interp routing` attributes, and how."""

    ckpt: tuple[str, ...] = option(
        (), "Checkpoint: local folder, hub id[@revision], LoRA folder, organism:final."
    )
    facts: str = option("cldr", "Facts: cldr, a file (.jsonl, .parquet), or a benchmark such as klar:DIR.")
    languages: str = option("polyfact", "Codes such as en,sw,ja; or polyfact, polyfact-unseen, all.")
    units: str = option("all", "Which units carry an answer.", ("heads", "neurons", "all"))
    top: float = option(0.01, "Share of the units of a layer, and of all, that counts as carrying most.")
    out: Path = option(Path("interp-routing"), "Folder for results; a rerun continues it.")
    split: str = option("all", "Facts of this split.", ("all", "train", "validation", "test"))
    limit: int = option(0, "At most this many facts (0: all).")
    prompt_format: str = option(
        "auto",
        "Words around the question; auto: as the facts' authors ask.",
        ("auto", "native", "english", "none"),
    )
    batch_tokens: int = option(
        4096, "Padded tokens per backward pass; halved by itself when memory runs out."
    )
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:<n>.")
    dtype: str = option("auto", "Weights' type.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    figure: bool = option(
        False, "Draw overlap by layer, and a matrix of languages per checkpoint (PNG, PDF and CSV)."
    )
    fresh: bool = option(False, "Discard what the output folder holds for these checkpoints.")
    strict: bool = option(False, "Exit with 1 when a sanity check of the result fails.")
