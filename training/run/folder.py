"""The folder of a run: what can be removed, which saved state is complete, whether the next one has room."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerState

from interp.files import require_room

__all__ = ["COMPLETE", "latest_state", "load_state", "remove_run", "require_room_for_states", "step_of"]

COMPLETE = "complete.json"
"""A saved state counts only when it holds this file, which is written last."""

_ADAPTER_SHARE = 0.05  # of the parameters, at most, in a usual adapter


def remove_run(out: Path) -> None:
    """Remove what a run wrote into its folder, and nothing else."""
    if not (out / "recipe.json").is_file():
        return
    folders = [out / name for name in ("final", "evaluations", "rollouts", "parent")]
    for folder in (*out.glob("checkpoint-*"), *folders):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("recipe.json", "metrics.jsonl", "pairs.jsonl", "pairs.json"):
        (out / name).unlink(missing_ok=True)


def latest_state(out: Path) -> Path | None:
    """Return the newest complete state, or None; states that a killed run left incomplete are removed."""
    states = list(out.glob("checkpoint-*"))
    complete = [folder for folder in states if (folder / COMPLETE).is_file()]
    process = PartialState()
    process.wait_for_everyone()
    if process.is_main_process:
        for folder in set(states).difference(complete):
            shutil.rmtree(folder)
    return max(complete, key=step_of, default=None)


def step_of(state: Path) -> int:
    """Return the step after which a state was saved."""
    return int(state.name.partition("-")[2])


def load_state(trainer: Any, state: Path) -> None:
    """Give a trainer the weights and counters of a state; resuming would take a further step."""
    trainer._load_from_checkpoint(str(state))
    trainer.state = TrainerState.load_from_json(str(state / "trainer_state.json"))


def require_room_for_states(out: Path, keep: int, parameters: int, *, full: bool) -> None:
    """Refuse a run whose saved states (weights, and two moments of what is trained, in float32) do not fit.

    Raises:
        NoSpaceError: There is less room than they need.
    """
    trained = parameters if full else int(_ADAPTER_SHARE * parameters)
    require_room(out, (keep + 1) * 12 * trained)
