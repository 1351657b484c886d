"""Finished results in a folder: taken again when they answer the same question, refused when they answer another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from interp.errors import ResultError, short
from interp.model.checkpoints import Checkpoint
from interp.results.base import Provenance, Result

__all__ = ["partial_file", "result_file", "reusable"]

Kind = TypeVar("Kind", bound=Result)


def result_file(out: Path, checkpoint: Checkpoint, kind: str) -> Path:
    """Where the result of a checkpoint is kept; another checkpoint of the same name has another file."""
    return out / f"{checkpoint.name}-{checkpoint.fingerprint[:8]}.{kind}.npz"


def partial_file(out: Path, checkpoint: Checkpoint, kind: str) -> Path:
    """Where an interrupted run keeps what is done."""
    return result_file(out, checkpoint, kind).with_suffix(".partial")


def reusable(
    kind: type[Kind], file: Path, asked: Provenance, said: Mapping[str, str] | None = None
) -> Kind | None:
    """Return the finished result that a file holds; None where there is no file.

    Args:
        kind: Of the result.
        file: Where it would be.
        asked: The question: digest of the prompts, and settings.
        said: What to say of a setting that is asked for, in place of its value, such as a note for a digest; the result's
            own is taken from its provenance's ``run``.

    Raises:
        ResultError: It answers another question, or is damaged.
    """
    if not file.exists():
        return None
    result = kind.load(file)
    differing = result.provenance.differences(asked)
    if not differing:
        return result
    notes: dict[str, tuple[Any, Any]] = {
        key: (result.provenance.run.get(f"{key}_note", differing[key][0]), text)
        for key, text in (said or {}).items()
        if key in differing
    }
    listed = "; ".join(
        f"{k}: {short(a, 120)} there, {short(b, 120)} asked" for k, (a, b) in {**differing, **notes}.items()
    )
    raise ResultError(
        f"{file} answers another question ({listed}). Use --fresh to replace it, or another --out."
    )
