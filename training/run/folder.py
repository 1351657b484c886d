"""The folder of a run: who writes it, what it holds, which state is whole, whether the next has room."""

from __future__ import annotations

import functools
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from accelerate import PartialState
from transformers import TrainerState

from interp.files import clear_leftovers, require_room
from interp.manifest import COMPLETE, damage
from interp.ownership import owned
from training.config import TrainConfig
from training.progress import Progress

__all__ = [
    "holds_work",
    "latest_state",
    "load_state",
    "one_writer",
    "remove_run",
    "require_room_for_states",
    "step_of",
]

Config = TypeVar("Config", bound=TrainConfig)
_log = logging.getLogger(__name__)
_ADAPTER_SHARE = 0.05  # of the parameters, at most, in a usual adapter


def one_writer(
    train: Callable[[Config, Progress | None], Path],
) -> Callable[[Config, Progress | None], Path]:
    """Make the run's first process own its folder: a second live run is refused, a dead one's taken over."""

    @functools.wraps(train)
    def alone(config: Config, progress: Progress | None = None) -> Path:
        if os.environ.get("RANK", "0") != "0":
            return train(config, progress)
        with owned(config.out):
            clear_leftovers(
                config.out, *(config.out / name for name in ("evaluations", "rollouts", "samples"))
            )
            return train(config, progress)

    return alone


def holds_work(out: Path) -> bool:
    """Whether a folder holds what another recipe would lose: samples, pairs, a state or a result."""
    kept = ("final", "pairs.json", "samples")
    return any((out / name).exists() for name in kept) or any(out.glob(f"checkpoint-*/{COMPLETE}"))


def remove_run(out: Path) -> None:
    """Remove what a run wrote into its folder, and nothing else."""
    if not (out / "recipe.json").is_file():
        return
    folders = [out / name for name in ("final", "evaluations", "rollouts", "samples", "parent")]
    for folder in (*out.glob("checkpoint-*"), *folders):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("recipe.json", "metrics.jsonl", "pairs.jsonl", "pairs.json"):
        (out / name).unlink(missing_ok=True)


def latest_state(out: Path) -> Path | None:
    """Return the newest state that is as it was written, or None.

    States that a killed run left incomplete, and damaged ones, are named and removed.
    """
    process = PartialState()
    process.wait_for_everyone()
    if process.is_main_process:
        for folder in reversed(_states(out)):
            reason = damage(folder)
            if not reason:
                break
            if (folder / COMPLETE).is_file():
                _log.warning("%s is damaged (%s); the state before it is used.", folder, reason)
            else:
                _log.warning("Removed %s, which a killed run left incomplete.", folder)
            shutil.rmtree(folder)
    process.wait_for_everyone()
    return next(reversed(_states(out)), None)


def _states(out: Path) -> list[Path]:
    """Saved states by their step."""
    return sorted((f for f in out.glob("checkpoint-*") if f.name[11:].isdecimal()), key=step_of)


def step_of(state: Path) -> int:
    """Return the step after which a state was saved."""
    return int(state.name.partition("-")[2])


def load_state(trainer: Any, state: Path) -> None:
    """Give a trainer the weights and counters of a state; resuming would take a further step."""
    trainer._load_from_checkpoint(str(state))
    trainer.state = TrainerState.load_from_json(str(state / "trainer_state.json"))


def require_room_for_states(out: Path, keep: int, parameters: int, *, full: bool) -> None:
    """Refuse a run whose states (weights and two moments of what is trained, float32) and result do not fit.

    What the folder holds of them already is not asked for again.

    Raises:
        NoSpaceError: There is less room than they need.
    """
    trained = parameters if full else int(_ADAPTER_SHARE * parameters)
    there = sum(
        f.stat().st_size for folder in out.glob("checkpoint-*") for f in folder.rglob("*") if f.is_file()
    )
    require_room(out, max(0, (keep + 1) * 12 * trained + 4 * trained - there))
