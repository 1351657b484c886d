"""Activations in an output folder: one file per checkpoint and span, shared by everything that reads that span."""

from __future__ import annotations

from pathlib import Path

from analyses.reuse import result_file
from interp.model.checkpoints import Checkpoint

__all__ = ["activations_file", "discard_activations"]


def activations_file(out: Path, checkpoint: Checkpoint, span: str) -> Path:
    """Where the activations of a checkpoint are kept when they are large."""
    return result_file(out, checkpoint, f"{span}.activations").with_suffix(".npy")


def discard_activations(out: Path, checkpoint: Checkpoint, span: str) -> None:
    """Remove them, finished or not, and the state of an interrupted pass."""
    from probes import store

    file = activations_file(out, checkpoint, span)
    file.with_suffix(".partial").unlink(missing_ok=True)
    store.discard(file)
