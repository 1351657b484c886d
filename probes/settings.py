"""What `interp probe` and `interp align` read from the layers, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from interp.config import LARGEST_SEED, option
from interp.results.settings import Settings

__all__ = ["AlignmentSettings", "ProbeSettings"]


@dataclass(frozen=True)
class ProbeSettings(Settings):
    """What `interp probe` reads from the layers, and how."""

    task: str = option(
        "language",
        "What is to be read: the prompt's language, the right answer, or whether the model will be right.",
        ("language", "answer", "right"),
    )
    positions: str = option(
        "last",
        "Which token: the prompt's last, the subject's last, or the mean over the prompt.",
        ("last", "subject_last", "mean"),
    )
    site: str = option("resid_post", "Where in a layer.", ("resid_post", "attn_out", "mlp_out"))
    layers: str = option("all", "all, or numbers from 0 such as 0,3,7; 'embedding' is what enters layer 0.")
    folds: int = option(
        5, "Folds of the cross-validation; no group of facts is in two of them.", minimum=2, maximum=1000
    )
    l2: float = option(
        0.1, "L2 penalty per example (0: chosen by inner grouped cross-validation; 13 times slower)."
    )
    seed: int = option(0, "Seed of the control labels.", maximum=LARGEST_SEED)
    scoring: str = option(
        "byte",
        "For 'right': what a summed log-probability is divided by.",
        ("sum", "token", "character", "byte"),
    )

    measure: ClassVar[str] = "probe"

    def stored(self) -> dict[str, Any]:
        """As of `Settings`; scoring decides the labels of ``right`` alone."""
        stored = super().stored()
        return stored if self.task == "right" else {k: v for k, v in stored.items() if k != "scoring"}


@dataclass(frozen=True)
class AlignmentSettings(Settings):
    """What `interp align` compares across languages, and how."""

    positions: str = option(
        "weighted", "A prompt's vector: mean weighted by position, or last token.", ("weighted", "last")
    )
    layers: str = option("all", "all, or numbers from 0 such as 0,3,7; 'embedding' is what enters layer 0.")

    measure: ClassVar[str] = "alignment"

    def stored(self) -> dict[str, Any]:
        """As of `Settings`, and the site that is read."""
        return {**super().stored(), "site": "resid_post"}
