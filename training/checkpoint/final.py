"""The final checkpoint of a run: weights in the parent's type, or the adapter, with tokenizer and card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from interp.errors import MeasurementError
from interp.model.quiet import quiet_transformers
from interp.ownership import require_owned
from training.checkpoint.card import RunRecord, run_card, write_run_card
from training.checkpoint.parent import ParentCheckpoint
from training.files import write_folder
from training.run.guards import not_finite

__all__ = ["write_final"]


def write_final(out: Path, trainer: Any, parent: ParentCheckpoint, record: RunRecord) -> None:
    """Write ``final``, whole or not at all; all processes call it, since sharded weights are gathered.

    Raises:
        MeasurementError: A weight is not finite in the type that it is saved in.
    """
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not PartialState().is_main_process:
        return
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    adapter = bool(record.config.lora_rank)
    if adapter:
        _name_base(parent, model)
    else:
        weights = _cast(weights, parent.saved_dtype)
    if name := not_finite(weights):
        raise MeasurementError(
            f"Stopped at step {trainer.state.global_step}: '{name}' is not finite in {weights[name].dtype}, "
            "so no result is written. Use a lower lr, or a parent that is saved in float32."
        )
    require_owned(out)

    def write(folder: Path) -> None:
        with quiet_transformers():
            model.save_pretrained(folder, state_dict=weights)
            parent.tokenizer.save_pretrained(folder)
        if not adapter:
            _record_dtype(folder, parent.saved_dtype)
        write_run_card(folder, run_card(record))

    write_folder(out / "final", write, out)


def _cast(weights: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Change the type of the weights; tied ones stay one tensor, so that they are written once."""
    made: dict[int, torch.Tensor] = {}
    for value in weights.values():
        if value.data_ptr() not in made:
            made[value.data_ptr()] = value.to(dtype) if value.is_floating_point() else value
    return {name: made[value.data_ptr()] for name, value in weights.items()}


def _name_base(parent: ParentCheckpoint, model: Any) -> None:
    """Record where the adapter's base is: hub id and revision, or folder."""
    checkpoint, config = parent.checkpoint, model.peft_config["default"]
    from_hub = checkpoint.revision is not None and checkpoint.adapter is None
    base = checkpoint.spec.partition("@")[0] if from_hub else str(parent.path.resolve())
    config.base_model_name_or_path = base
    config.revision = checkpoint.revision if from_hub else None


def _record_dtype(folder: Path, dtype: torch.dtype) -> None:
    """save_pretrained names the type the model was trained in, which is not that of these weights."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["dtype"] = str(dtype).removeprefix("torch.")
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
