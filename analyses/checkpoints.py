"""Several checkpoints side by side: what to call each, and that no two are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interp.errors import ConfigError
from interp.files import require_room
from interp.model.checkpoints import Checkpoint, resolve_checkpoint

__all__ = ["open_checkpoints", "refuse_twins"]


def open_checkpoints(specs: Sequence[str], out: Path) -> list[Checkpoint]:
    """Resolve a command's checkpoints under different names, and check that the folder can be written to.

    Raises:
        InterpError: There is none, one cannot be found, two are the same, or two were given one name.
    """
    if not specs:
        raise ConfigError("No checkpoint: give --ckpt once or more (a folder, a hub id, or organism:final).")
    checkpoints = [resolve_checkpoint(spec) for spec in specs]
    refuse_twins(checkpoints)
    require_room(out)
    return _named_apart(checkpoints)


def refuse_twins(checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse two checkpoints that are the same weights.

    Raises:
        ConfigError: Two have one fingerprint.
    """
    seen: dict[str, str] = {}
    for checkpoint in checkpoints:
        if checkpoint.fingerprint in seen:
            raise ConfigError(
                f"'{checkpoint.spec}' and '{seen[checkpoint.fingerprint]}' are the same weights, byte for "
                "byte."
            )
        seen[checkpoint.fingerprint] = checkpoint.spec


def _named_apart(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Tell apart by fingerprint the checkpoints whose names are alike, unless the user gave the names."""
    counts = Counter(checkpoint.name.casefold() for checkpoint in checkpoints)  # files may ignore case
    named = []
    for checkpoint in checkpoints:
        if counts[checkpoint.name.casefold()] > 1:
            if checkpoint.label:
                raise ConfigError(f"Two checkpoints are named '{checkpoint.name}'. Give each its own name.")
            checkpoint = replace(checkpoint, label=f"{checkpoint.name}-{checkpoint.fingerprint[:8]}")
        named.append(checkpoint)
    return named
