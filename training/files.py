"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from transformers.utils import logging

from interp.data.characters import visible
from interp.errors import CheckpointError, NoSpaceError

__all__ = ["quiet_transformers", "write_file", "write_folder", "write_json"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def write_file(file: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, and rename it.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only.
        CheckpointError: The file cannot be written for another reason.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with _disk_errors(file):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(file: Path, value: object) -> None:
    """Write a value as readable JSON, whole or not at all."""
    write_file(file, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def write_folder(folder: Path, write: Callable[[Path], object], scratch: Path) -> None:
    """Fill a folder inside ``scratch`` and rename it, in place of one that is already there.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only.
        CheckpointError: The folder cannot be written for another reason.
    """
    temporary = scratch / f"{folder.name}.{os.getpid()}.tmp"
    with _disk_errors(folder):
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
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        if getattr(error, "errno", None) in _FULL or "No space left" in reason:
            raise NoSpaceError(
                f"{visible(path)} cannot be written: {visible(reason)}; free some space (40 MB are enough for the "
                "default recipe) and run the same command again."
            ) from None
        raise CheckpointError(f"{visible(path)} cannot be written: {visible(reason)}.") from None
