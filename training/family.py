"""The organism's family: members that each training method makes from one base, with several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from interp.config import load_config
from interp.errors import ConfigError, nearest
from training.methods import METHODS
from training.progress import Progress

__all__ = ["BASE", "MEMBERS", "run_folder", "train_members"]

BASE = "organism:final"

MEMBERS = {member: name for name, method in METHODS.items() for member in method.members}
"""Member to the name of its method."""


def run_folder(out: Path, member: str, seed: int) -> Path:
    """Return the folder of one run."""
    return out / f"{member}-seed{seed}"


def train_members(
    out: Path, seeds: int, members: Sequence[str] = (), progress: Progress | None = None
) -> list[tuple[str, int]]:
    """Train every member with every seed; finished runs are not repeated.

    Returns:
        The runs, as member and seed.

    Raises:
        ConfigError: A member is unknown, or there is no seed.
    """
    members = members or tuple(MEMBERS)
    for member in members:
        if member not in MEMBERS:
            raise ConfigError(
                f"No member '{member}'.{nearest(member, MEMBERS)} Choose from: {', '.join(MEMBERS)}."
            )
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}; 1 or more is expected.")
    runs = [(member, seed) for seed in range(seeds) for member in members]
    for number, (member, seed) in enumerate(runs):
        if progress:
            progress("runs", number, len(runs))
        method = METHODS[MEMBERS[member]]
        settings = Path(str(files("training"))) / "configs" / "organism" / f"{member}.toml"
        changes = {"out": run_folder(out, member, seed), "seed": seed}
        method.train(load_config(method.config, settings, changes), progress)
    return runs
