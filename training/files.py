"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers.utils import logging

from interp.errors import CheckpointError
from interp.files import refusal, write_atomically

__all__ = ["claim", "disk_errors", "quiet_transformers", "write_folder", "write_json", "write_table"]

_NEEDED = 40_000_000  # bytes; enough for the default recipe


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


def claim(out: Path, recipe: dict[str, Any], what: str) -> None:
    """Reserve a folder for a recipe, or refuse it if it holds a run of another.

    Args:
        out: The folder.
        recipe: Everything that decides the weights.
        what: What the folder holds, for the message.

    Raises:
        CheckpointError: ``out`` holds a run of another recipe; the message names the settings that differ.
    """
    file = out / "recipe.json"
    if not file.exists():
        if any((out / name).exists() for name in ("early", "final")):
            raise CheckpointError(f"{out} holds checkpoints that no run made there. Give an empty folder.")
        write_json(file, recipe)
        return
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
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
    """Fill a folder inside ``scratch`` and rename it, in place of one that is already there.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only.
        WriteError: The folder cannot be written for another reason.
    """
    temporary = scratch / f"{folder.name}.{os.getpid()}.tmp"
    with disk_errors(folder):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            write(temporary)
            for file in temporary.iterdir():
                file.chmod(0o644)  # safetensors writes files that only their owner can read
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars off the screen for a while."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the exceptions that a full disk raises in safetensors and torch into one that says what to do.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only.
        WriteError: The folder cannot be written for another reason.
    """
    try:
        yield
    except RuntimeError as error:
        if "PytorchStreamWriter" not in str(error):
            raise
        raise refusal(path, OSError(errno.ENOSPC, "the state could not be written"), _NEEDED) from None
    except SafetensorError as error:
        full = "No space left" in str(error)
        raise refusal(path, OSError(errno.ENOSPC if full else errno.EIO, str(error)), _NEEDED) from None
    except OSError as error:
        raise refusal(path, error, _NEEDED) from None
