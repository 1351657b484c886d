"""Where a measurement comes from: checkpoint, prompts, settings, versions, commit, device."""

from __future__ import annotations

import datetime
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from interp.data.prompts import PromptSet
from interp.model.loading import LoadedModel
from interp.results.base import Provenance
from interp.results.settings import Settings, question

__all__ = ["Measurement"]

_PACKAGES = ("interp", "torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class Measurement:
    """One measure of one model on one set of prompts.

    Attributes:
        loaded: The opened checkpoint.
        prompts: What is read.
        settings: Everything beside the prompts that decides the numbers, see
            `interp.results.settings.question`.
    """

    loaded: LoadedModel
    prompts: PromptSet
    settings: dict[str, Any]

    @classmethod
    def of(
        cls, loaded: LoadedModel, prompts: PromptSet, settings: Settings | dict[str, Any], **context: Any
    ) -> Measurement:
        """Put together what decides the numbers.

        Args:
            loaded: The opened checkpoint.
            prompts: What is read.
            settings: Of the measure, or what is stored of them.
            context: What comes from data, such as a digest of the facts.
        """
        stored = settings.stored() if isinstance(settings, Settings) else settings
        return cls(
            loaded,
            prompts,
            question(prompts.languages, loaded.requested, stored, **prompts.context, **context),
        )

    def key(self, **options: Any) -> dict[str, Any]:
        """What must be the same for an interrupted pass to continue to the same result."""
        checkpoint = self.loaded.checkpoint
        identity = {
            "checkpoint": checkpoint.fingerprint if checkpoint else "",
            "prompts": self.prompts.digest,
        }
        return {**identity, **self.settings, **options}

    def provenance(self, **run: Any) -> Provenance:
        """Describe the finished measurement.

        Args:
            run: How it went: what may differ without changing the question.
        """
        checkpoint = self.loaded.checkpoint
        origin = (
            {
                "spec": checkpoint.spec,
                "revision": checkpoint.revision,
                "adapter": str(checkpoint.adapter or ""),
            }
            if checkpoint
            else {}
        )
        return Provenance(
            checkpoint=checkpoint.name if checkpoint else "a model in memory",
            fingerprint=checkpoint.fingerprint if checkpoint else "",
            prompts=self.prompts.name,
            prompts_digest=self.prompts.digest,
            settings=self.settings,
            run={
                **self.loaded.describe(),
                **origin,
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "versions": {
                    "python": platform.python_version(),
                    **{name: version(name) for name in _PACKAGES},
                },
                "prompts_note": f"{self.prompts.note}; {self.prompts.n_items} items",
                "seed": None,
                **_commit(),
                **run,
            },
        )


@cache
def _commit() -> dict[str, Any]:
    """Commit and dirty flag of a source checkout; empty for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {"commit": "", "dirty": False}
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": "", "dirty": False}


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
