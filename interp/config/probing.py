"""What `interp probe` asks of the layers, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["ProbingConfig"]


@dataclass(frozen=True)
class ProbingConfig:
    """What `interp probe` asks of the layers, and how."""

    ckpt: tuple[str, ...] = option(
        (), "Checkpoint: local folder, hub id[@revision], LoRA folder, organism:final."
    )
    task: str = option(
        "language",
        "What is to be read: the prompt's language, the right answer, or whether the model will be right.",
        ("language", "answer", "right"),
    )
    facts: str = option("cldr", "Facts: cldr, a file (.jsonl, .parquet), or a benchmark such as klar:DIR.")
    languages: str = option("polyfact", "Codes such as en,sw,ja; or polyfact, polyfact-unseen, all.")
    span: str = option(
        "last",
        "Which token: the prompt's last, the subject's last, or the mean over the prompt.",
        ("last", "subject_last", "mean"),
    )
    site: str = option("resid_post", "Where in a layer.", ("resid_post", "attn_out", "mlp_out"))
    layers: str = option("all", "all, or numbers from 0 such as 0,3,7; 'embedding' is what enters layer 0.")
    out: Path = option(Path("interp-probe"), "Folder for results; a rerun reuses what is done.")
    split: str = option("all", "Facts of this split.", ("all", "train", "validation", "test"))
    limit: int = option(0, "At most this many facts (0: all).")
    prompt_format: str = option(
        "auto",
        "Words around the question; auto: as the facts' authors ask.",
        ("auto", "native", "english", "none"),
    )
    folds: int = option(5, "Folds of the cross-validation; no group of facts is in two of them.")
    l2: float = option(
        0.1, "L2 penalty per example (0: chosen by inner grouped cross-validation; 13 times slower)."
    )
    seed: int = option(0, "Seed of the control labels.")
    normalization: str = option(
        "byte",
        "For 'right': what a summed log-probability is divided by.",
        ("sum", "token", "character", "byte"),
    )
    batch_tokens: int = option(4096, "Padded tokens per forward pass; halved by itself when memory runs out.")
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:<n>.")
    dtype: str = option("auto", "Weights' type.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    figure: bool = option(False, "Draw curves per layer and transfer matrices (PNG, PDF and CSV).")
    fresh: bool = option(False, "Discard what the output folder holds for these checkpoints.")
    strict: bool = option(False, "Exit with 1 when a sanity check of the result fails.")
