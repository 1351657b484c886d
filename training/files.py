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

from interp.files import refusal, write_atomically

__all__ = ["quiet_transformers", "write_folder", "write_json"]

_NEEDED = 40_000_000  # bytes; enough for the default recipe


def write_json(file: Path, value: object) -> None:
    """Write a value as readable JSON, whole or not at all."""
    content = (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
    write_atomically(file, lambda stream: stream.write(content))


def write_folder(folder: Path, write: Callable[[Path], object], scratch: Path) -> None:
    """Fill a folder inside ``scratch`` and rename it, in place of one that is already there.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only.
        WriteError: The folder cannot be written for another reason.
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
    """safetensors reports a full disk in words of its own."""
    try:
        yield
    except SafetensorError as error:
        full = "No space left" in str(error)
        raise refusal(path, OSError(errno.ENOSPC if full else errno.EIO, str(error)), _NEEDED) from None
    except OSError as error:
        raise refusal(path, error, _NEEDED) from None
