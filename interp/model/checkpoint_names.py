"""What checkpoints are called: the name that a user gives as NAME=..., or one made of what the user wrote."""

from __future__ import annotations

import os
import re

from interp.characters import visible
from interp.errors import CheckpointError

__all__ = ["SHIPPED", "label_of", "name_of"]

SHIPPED = "organism:"
"""Before the name of a checkpoint that comes with the package."""

_SAYS_LITTLE = re.compile(
    r"(final|best|last|latest|main|model|weights|merged|adapter|(checkpoint|step|epoch|seed)?[-_]?\d+)"
)


def name_of(spec: str) -> str:
    """The last part of what a user wrote, as part of a file name.

    The part before is added where the last one says little, such as ``final`` or ``checkpoint-600``, and of
    what ships.
    """
    if spec.startswith(SHIPPED):
        return _slug(spec)
    parts = [p for p in re.split(r"[/\\:]", spec.rstrip("/\\")) if p not in ("", ".", "..")]
    used = parts[-2:] if parts and _SAYS_LITTLE.fullmatch(parts[-1]) else parts[-1:]
    return _slug("-".join(used)) or "checkpoint"


def label_of(spec: str) -> tuple[str, str]:
    """The name that a user gives a checkpoint as NAME=..., and the rest."""
    label, equals, rest = spec.partition("=")
    if not equals or os.path.exists(os.path.expanduser(spec)) or re.search(r"[/\\:]", label):
        return "", spec
    if not label or _slug(label) != label:
        raise CheckpointError(
            f"'{visible(label)}' cannot name a checkpoint; letters, digits, '.', '_' and '-' are expected, "
            f"such as {_slug(label) or 'base'}={visible(rest)}."
        )
    return label, rest


def _slug(text: str) -> str:
    """A text as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80]
