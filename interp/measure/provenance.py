"""Where a measurement comes from: checkpoint, prompts, settings, versions, commit, device."""

from __future__ import annotations

import datetime
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from interp.data.prompts import PromptSet
from interp.model.loading import LoadedModel
from interp.results.base import Provenance

__all__ = ["make_provenance", "resume_key", "settings_of"]

_PACKAGES = ("interp", "torch", "transformers", "tokenizers", "numpy")


def settings_of(prompts: PromptSet, requested: dict[str, str], own: dict[str, Any]) -> dict[str, Any]:
    """What decides the numbers: languages in order, the numerics asked for, and the measure's own settings."""
    return {"languages": list(prompts.languages), **requested, **own}


def make_provenance(loaded: LoadedModel, prompts: PromptSet, own: dict[str, Any]) -> Provenance:
    """Describe a measurement. Settings hold only what decides the numbers; the rest goes into run."""
    checkpoint = loaded.checkpoint
    run = {
        **loaded.describe(),
        **({"revision": checkpoint.revision, "adapter": str(checkpoint.adapter or "")} if checkpoint else {}),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "prompts_note": f"{prompts.note}; {prompts.n_items} items",
        "seed": None,  # nothing here is random
        **_commit(),
    }
    return Provenance(
        checkpoint=checkpoint.spec if checkpoint else "a model in memory",
        fingerprint=checkpoint.fingerprint if checkpoint else "",
        prompts=prompts.name,
        prompts_digest=prompts.digest,
        settings=settings_of(prompts, loaded.requested, own),
        run=run,
    )


def resume_key(provenance: Provenance, options: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for an interrupted pass to continue to the same result."""
    identity = {"checkpoint": provenance.fingerprint, "prompts": provenance.prompts_digest}
    return {**identity, **provenance.settings, **options}


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
