"""Where a result comes from, and what it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

__all__ = ["Provenance"]


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from; two results combine only if they asked the same questions.

    Attributes:
        checkpoint: What the user called it.
        fingerprint: SHA-256 of weights, configuration and tokenizer.
        prompts: Name of the prompt set.
        prompts_digest: SHA-256 of all prompts.
        settings: The resolved settings that decide the numbers.
        run: Versions, commit, device, dtype, date: what may differ without changing the question.
    """

    checkpoint: str = ""
    fingerprint: str = ""
    prompts: str = ""
    prompts_digest: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    known_settings: ClassVar[dict[str, Any]] = {
        "languages": tuple[str, ...],
        "lens": str,
        "measure": str,
        "pivot": str,
        "protocol": str,
    }
    known_run: ClassVar[dict[str, Any]] = {
        "attention": str | None,
        "dtype": str,
        "held_out_kl": dict[str, tuple[float, ...]],
        "notes": tuple[str, ...],
        "prompts_note": str,
        "unconverged_fits": int,
        "without_partner": int,
    }
    """Entries that results are read by, and their types."""

    def differences(self, other: Provenance, *, ignore: Sequence[str] = ()) -> dict[str, tuple[Any, Any]]:
        """Prompts and settings that differ -> (ours, theirs); the checkpoint is no part of it."""
        mine, theirs = self._question(), other._question()
        keys = sorted((mine.keys() | theirs.keys()) - set(ignore))
        return {k: (mine.get(k), theirs.get(k)) for k in keys if mine.get(k) != theirs.get(k)}

    def _question(self) -> dict[str, Any]:
        return {"prompts": self.prompts_digest, **self.settings}
