"""Several checkpoints side by side: what to call each, and that no two are the same."""

from __future__ import annotations

from collections.abc import Sequence

from interp.errors import ConfigError
from interp.model.checkpoints import Checkpoint

__all__ = ["refuse_twins", "short_names"]


def refuse_twins(checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse two checkpoints that are the same weights.

    Raises:
        ConfigError: Two have one fingerprint.
    """
    seen: dict[str, str] = {}
    for checkpoint in checkpoints:
        if checkpoint.fingerprint in seen:
            raise ConfigError(
                f"'{checkpoint.spec}' and '{seen[checkpoint.fingerprint]}' are the same weights, byte for byte."
            )
        seen[checkpoint.fingerprint] = checkpoint.spec


def short_names(checkpoints: Sequence[Checkpoint]) -> tuple[str, ...]:
    """Return short names, told apart by fingerprint where two are alike."""
    plain = [c.name for c in checkpoints]
    return tuple(
        n if plain.count(n) == 1 else f"{n}-{c.fingerprint[:8]}"
        for n, c in zip(plain, checkpoints, strict=True)
    )
