"""What `interp lens` reads, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from interp.config import option
from interp.errors import ConfigError
from interp.results.settings import Settings

__all__ = ["LensSettings", "LensView"]


@dataclass(frozen=True)
class LensSettings(Settings):
    """What `interp lens` reads, and how."""

    task: str = option(
        "facts",
        "What is asked for: the answers of --data, or of the embedded lexicon a translation, a repetition "
        "or a cloze.",
        ("facts", "translation", "repetition", "cloze"),
    )
    shots: int | None = option(None, "Answered prompts that stand first (default: 0 for facts, else 4).")
    source: str = option(
        "", "Language to translate from (default: the first that is neither the target nor the pivot)."
    )
    positions: str = option(
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
        "What the tuned lens is fitted on: cldr, a facts file or a folder of text (default: the prompts, "
        "with their answers).",
    )
    tuned_positions: int = option(8192, "Tokens that the tuned lens is fitted and tried on.", minimum=1)
    tuned_steps: int = option(160, "Steps of the fit.", minimum=1)

    measure: ClassVar[str] = "lens"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source and self.task != "translation":
            raise ConfigError(
                f"'source' is '{self.source}', but only a translation has one; the task is '{self.task}'."
            )
        if self.tuned_text and not self.tuned:
            raise ConfigError(
                f"'tuned_text' is '{self.tuned_text}', but no tuned lens is asked for; add --tuned."
            )

    def stored(self) -> dict[str, Any]:
        """What decides the numbers of a plain lens; task, shots and source are in the prompts."""
        return {
            "measure": "lens",
            "lens": "logit",
            "positions": self.positions,
            "tokens": self.tokens,
        }

    def stored_tuned(self, tuned_on: str) -> dict[str, Any]:
        """What decides the numbers of a tuned lens, fitted on prompts of a digest."""
        fit = {"tuned_positions": self.tuned_positions, "tuned_steps": self.tuned_steps}
        return {**self.stored(), "lens": "tuned", "tuned_on": tuned_on, **fit}


@dataclass(frozen=True)
class LensView:
    """How a lens is read; another choice needs no model."""

    pivot: str = option(
        "en", "Language that the others are compared with; changing it needs no model but for translation."
    )
