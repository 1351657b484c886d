"""The folder of a run: what may be thrown away, which saved state is whole, whether the next one has room."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerState

from interp.files import require_room
from training.running.callbacks import COMPLETE

__all__ = ["any_process", "discard", "last_state", "require_room_for_states", "step_of", "take_up"]

_ADAPTER_SHARE = 0.05  # of the parameters, at most, in a usual adapter


def discard(out: Path) -> None:
    """Remove what a run of ours wrote, and nothing else."""
    if not (out / "recipe.json").is_file():
        return
    folders = [out / name for name in ("final", "evaluations", "rollouts", "parent")]
    for folder in (*out.glob("checkpoint-*"), *folders):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("recipe.json", "metrics.jsonl", "pairs.jsonl", "pairs.json"):
        (out / name).unlink(missing_ok=True)


def last_state(out: Path) -> Path | None:
    """Return the newest saved state that is whole, or None; what a killed run left half written is removed."""
    whole: list[Path] = []
    parts: list[Path] = []
    for folder in out.glob("checkpoint-*"):
        (whole if (folder / COMPLETE).is_file() else parts).append(folder)
    state = PartialState()
    state.wait_for_everyone()
    if state.is_main_process:
        for folder in parts:
            shutil.rmtree(folder)
    return max(whole, key=step_of, default=None)


def step_of(state: Path) -> int:
    """Return the step after which a state was saved."""
    return int(state.name.partition("-")[2])


def take_up(trainer: Any, state: Path) -> None:
    """Give a trainer the weights and counters of a state without a further step, which resuming would take."""
    trainer._load_from_checkpoint(str(state))
    trainer.state = TrainerState.load_from_json(str(state / "trainer_state.json"))


def require_room_for_states(out: Path, keep: int, parameters: int, *, full: bool) -> None:
    """Refuse a run whose saved states (weights, and two moments of what is trained, in float32) do not fit.

    Raises:
        NoSpaceError: There is less room than they need.
    """
    trained = parameters if full else int(_ADAPTER_SHARE * parameters)
    require_room(out, (keep + 1) * (4 * (parameters if full else trained) + 8 * trained))


def any_process(flag: bool) -> bool:
    """Return whether any process says so: all must stop at the same step."""
    state = PartialState()
    if state.num_processes == 1:
        return flag
    asked = torch.tensor([float(flag)], device=state.device)
    torch.distributed.all_reduce(asked)
    return bool(asked.item())
