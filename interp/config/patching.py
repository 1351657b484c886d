"""What `interp patch` writes where, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.config.base import option

__all__ = ["PatchingConfig"]


@dataclass(frozen=True)
class PatchingConfig:
    """What `interp patch` writes where, and how."""

    ckpt: tuple[str, ...] = option(
        (), "Checkpoint that is patched: local folder, hub id[@revision], LoRA folder, organism:final."
    )
    mode: str = option(
        "across",
        "Activations come from: the fact in other languages, where the model is right, into one where it is wrong (across); "
        "another fact of the relation, in the same language (within) or another (concepts); another checkpoint (checkpoints).",
        ("across", "within", "concepts", "checkpoints"),
    )
    facts: str = option("cldr", "Facts: cldr, a file (.jsonl, .parquet), or a benchmark such as klar:DIR.")
    languages: str = option(
        "polyfact", "Languages that are patched: codes, polyfact, polyfact-unseen or all."
    )
    sources: str = option(
        "", "Languages that give activations, averaged (default with across and concepts: en)."
    )
    source_ckpt: str = option("", "Checkpoint that gives activations, with --mode checkpoints.")
    site: str = option(
        "resid_post",
        "What is overwritten in each layer.",
        ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "head", "mlp_neuron"),
    )
    units: str = option(
        "",
        "Heads or neurons that are patched together, such as 0,3 or 0;1,2 (default: each head alone, all neurons).",
    )
    spans: str = option(
        "subject_last,last",
        "Where: subject_last, subject_mean, last, all positions at once, each position alone.",
    )
    onward: bool = option(False, "Overwrite from each layer to the last one, not in one layer alone.")
    attribution: bool = option(
        False, "Estimate every head (--site head) or neuron (--site mlp_neuron) by gradients instead."
    )
    verify: int = option(
        20, "With --attribution: patch so many of the largest, and as many others, for real."
    )
    metric: str = option(
        "logit_diff",
        "What tables and figures show; changing it needs no model.",
        ("logit_diff", "answer_logprob", "probability", "rescued"),
    )
    out: Path = option(Path("interp-patch"), "Folder for results; a rerun continues it.")
    split: str = option("all", "Facts of this split.", ("all", "train", "validation", "test"))
    limit: int = option(0, "At most this many facts (0: all).")
    prompt_format: str = option(
        "auto",
        "Words around the question; auto: as the facts' authors ask.",
        ("auto", "native", "english", "none"),
    )
    batch_tokens: int = option(4096, "Padded tokens per forward pass; halved by itself when memory runs out.")
    device: str = option("auto", "Where the model runs: auto, cpu, cuda or cuda:<n>.")
    dtype: str = option("auto", "Weights' type.", ("auto", "float32", "bfloat16", "float16"))
    attention: str = option("auto", "Attention implementation.", ("auto", "sdpa", "eager"))
    allow_missing: bool = option(False, "Restrict to the facts that all languages have, and say how many.")
    figure: bool = option(
        False, "Draw recovery per layer, head or position, and language (PNG, PDF and CSV)."
    )
    fresh: bool = option(False, "Discard what the output folder holds for these checkpoints.")
    strict: bool = option(False, "Exit with 1 when a sanity check of the result fails.")
