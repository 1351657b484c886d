"""The state of an unfinished training run on disk. No pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from interp.errors import CheckpointError
from interp.files import write_atomically

__all__ = ["load_state", "save_state"]

_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_state(
    file: Path, model: torch.nn.Module, optimizer: torch.optim.AdamW, progress: dict[str, Any]
) -> None:
    """Write weights, the optimizer's moments and the counters of progress, whole or not at all."""
    tensors = {f"weight/{name}": weight.detach() for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        moments = optimizer.state.get(weight, {})
        tensors |= {f"{key}/{name}": moments[key] for key in _MOMENTS if key in moments}
    content = save(tensors, metadata={"progress": json.dumps(progress)})
    write_atomically(file, lambda stream: stream.write(content), expected_bytes=len(content))


def load_state(file: Path, model: torch.nn.Module, optimizer: torch.optim.AdamW) -> dict[str, Any]:
    """Continue from a saved state: fill model and optimizer, and return the counters of progress.

    Raises:
        CheckpointError: The file is damaged.
    """
    try:
        with safe_open(file, framework="pt") as saved:
            progress = json.loads(saved.metadata()["progress"])
            count = torch.tensor(float(progress["step"]))
            with torch.no_grad():
                for name, weight in model.named_parameters():
                    weight.copy_(saved.get_tensor(f"weight/{name}"))
                    moments = {key: saved.get_tensor(f"{key}/{name}") for key in _MOMENTS}
                    optimizer.state[weight] = {"step": count.clone(), **moments}
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"The saved state {file} cannot be read ({type(error).__name__}). Delete the folder "
            f"{file.parent} to train from the beginning."
        ) from None
    return progress
