"""The state of an unfinished training run on disk. No pickle."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from interp.errors import CheckpointError
from interp.files import write_atomically

__all__ = ["load_state", "save_state"]

_log = logging.getLogger(__name__)
_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_state(
    file: Path, model: torch.nn.Module, optimizer: torch.optim.AdamW, progress: dict[str, Any]
) -> None:
    """Write weights, moments and the counters of progress, whole or not at all; the state before stays."""
    tensors = {f"weight/{name}": weight.detach() for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        moments = optimizer.state.get(weight, {})
        tensors |= {f"{key}/{name}": moments[key] for key in _MOMENTS if key in moments}
    content = save(tensors, metadata={"progress": json.dumps(progress), "sha256": _digest(tensors)})
    if file.exists():
        os.replace(file, _previous(file))
    write_atomically(file, lambda stream: stream.write(content), expected_bytes=len(content))


def load_state(file: Path, model: torch.nn.Module, optimizer: torch.optim.AdamW) -> dict[str, Any] | None:
    """Continue from the last whole state: fill model and optimizer, and return the counters of progress.

    A damaged state is named, and the one before it used; None where there is none at all.

    Raises:
        CheckpointError: All that there are, are damaged.
    """
    there = [state for state in (file, _previous(file)) if state.exists()]
    for state in there:
        try:
            tensors, progress = _read(state)
            _fill(model, optimizer, tensors, progress)
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            _log.warning("The saved state %s cannot be read (%s).", state, type(error).__name__)
        else:
            return progress
    if there:
        raise CheckpointError(
            f"The saved state {file} cannot be read. Delete the folder {file.parent} to train from the "
            "beginning."
        )
    return None


def _read(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(file, framework="pt") as saved:
        names: list[str] = saved.keys()
        metadata, tensors = saved.metadata(), {name: saved.get_tensor(name) for name in names}
    if metadata["sha256"] != _digest(tensors):
        raise ValueError("other content than was written")
    return tensors, json.loads(metadata["progress"])


def _fill(
    model: torch.nn.Module,
    optimizer: torch.optim.AdamW,
    tensors: dict[str, torch.Tensor],
    progress: dict[str, Any],
) -> None:
    count = torch.tensor(float(progress["step"]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(tensors[f"weight/{name}"])
            moments = {key: tensors[f"{key}/{name}"] for key in _MOMENTS}
            optimizer.state[weight] = {"step": count.clone(), **moments}


def _previous(file: Path) -> Path:
    return file.with_stem(f"{file.stem}-before")


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
