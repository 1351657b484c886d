"""Finished results in a folder: reused when they answer the same question, refused when they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from analyses.plan import Part
from interp.errors import ResultError, unequal
from interp.model.checkpoints import Checkpoint
from interp.results.base import Provenance, Result

__all__ = ["Place", "partial_file", "place_in", "result_file", "reusable"]

Place = Callable[[Part[Any], Checkpoint], Path]
"""Where the finished result of a part of a checkpoint is kept."""

Kind = TypeVar("Kind", bound=Result)
_MOST = 120  # characters of a value in a message


def result_file(out: Path, checkpoint: Checkpoint, suffix: str) -> Path:
    """Where the result of a checkpoint is kept."""
    return out / f"{checkpoint.name}.{suffix}.npz"


def place_in(out: Path) -> Place:
    """All results in one folder, each under its checkpoint's name and its suffix."""
    return lambda part, checkpoint: result_file(out, checkpoint, part.name)


def partial_file(result: Path) -> Path:
    """Where an interrupted run keeps what is done of a result."""
    return result.with_suffix(".partial")


def reusable(
    kind: type[Kind], file: Path, question: Provenance, checkpoint: Checkpoint, ignored: Sequence[str] = ()
) -> Kind | None:
    """Return the finished result that a file holds; None where there is no file.

    Args:
        kind: Of the result.
        file: Where it would be.
        question: What it must have answered. The ``prompts_note`` of its ``run`` stands for the digest in a
            message.
        checkpoint: Of which checkpoint it must be.
        ignored: Settings in which it may differ.

    Raises:
        ResultError: It answers another question, is of another checkpoint, or is damaged.
    """
    if not file.exists():
        return None
    result = kind.load(file)
    if result.provenance.fingerprint != checkpoint.fingerprint:
        raise ResultError(
            f"{file} is of other weights that were called '{checkpoint.name}' too. Name these with --ckpt "
            "NAME=PATH, use --fresh to replace the result, or another --out."
        )
    differing = result.provenance.differences(question, ignore=ignored)
    if not differing:
        return result
    if "prompts" in differing:
        notes = [p.run.get("prompts_note", p.prompts_digest) for p in (result.provenance, question)]
        differing["prompts"] = (notes[0], notes[1])
    saved, requested = ({name: pair[i] for name, pair in differing.items()} for i in (0, 1))
    raise ResultError(
        f"{file} answers another question ({unequal(saved, requested, _MOST)}). Use --fresh to replace it, "
        "or another --out."
    )
