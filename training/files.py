"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from interp.errors import CheckpointError
from interp.files import disk_errors, temporary_name, unfinished, write_atomically
from interp.manifest import seal

__all__ = [
    "require_same_recipe",
    "write_folder",
    "write_json",
    "write_recipe",
    "write_table",
]

_RECIPE = "recipe.json"


def write_json(file: Path, value: object) -> None:
    """Write a value as readable JSON, whole or not at all."""
    content = (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
    write_atomically(file, lambda stream: stream.write(content))


def write_table(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as Parquet, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(list(rows))
    write_atomically(file, lambda stream: pq.write_table(table, stream))


def write_recipe(out: Path, recipe: dict[str, Any]) -> None:
    """Reserve a folder for a recipe, once there is work that another one would mix with."""
    if not (out / _RECIPE).exists():
        write_json(out / _RECIPE, recipe)


def require_same_recipe(out: Path, recipe: dict[str, Any], what: str) -> None:
    """Refuse a folder that holds a run of another recipe.

    Args:
        out: The folder.
        recipe: Everything that decides the weights.
        what: What the folder holds, for the message.

    Raises:
        CheckpointError: ``out`` holds a run of another recipe; the message names the settings that differ.
    """
    file = out / _RECIPE
    if not file.exists():
        if any((out / name).exists() for name in ("early", "final")):
            raise CheckpointError(f"{out} holds checkpoints that no run made there. Give an empty folder.")
        return
    try:
        there = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise CheckpointError(f"{file} is not JSON. Give an empty folder, or delete {out}.") from None
    recipe = json.loads(json.dumps(recipe))
    differing = [
        f"{key}: {there.get(key)} in the folder, {recipe.get(key)} requested"
        for key in sorted({*there, *recipe})
        if there.get(key) != recipe.get(key)
    ]
    if differing:
        raise CheckpointError(
            f"{out} holds {what} with other settings ({'; '.join(differing)}). Give another folder, or the "
            "same settings."
        )


def write_folder(folder: Path, write: Callable[[Path], object], scratch: Path) -> None:
    """Fill a folder inside ``scratch``, seal it and rename it, in place of one that is already there.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only.
        WriteError: The folder cannot be written for another reason.
    """
    temporary = scratch / f"{temporary_name(folder.name)}tmp"
    with disk_errors(folder), unfinished(temporary):
        temporary.mkdir(parents=True)
        write(temporary)
        for file in temporary.iterdir():
            file.chmod(0o644)  # safetensors writes files that only their owner can read
        seal(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
