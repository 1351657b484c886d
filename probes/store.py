"""Arrays too large for memory: written in place on disk, finished once a manifest has their checksum."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from interp.errors import MeasurementError, unequal
from interp.files import refusal, require_room, write_atomically

__all__ = ["create", "discard", "finish", "reopen"]


def create(file: Path, shape: tuple[int, ...], *, keep: bool) -> np.memmap:
    """Open the unfinished float32 array of ``file`` for writing; with ``keep``, the one that is there.

    Its blocks are reserved at once, because a full disk met later would kill the process without a word.

    Raises:
        NoSpaceError: There is no room for it.
    """
    partial, size = _partial(file), 4 * int(np.prod(shape))
    if keep and partial.exists():
        return np.lib.format.open_memmap(partial, mode="r+")
    require_room(file.parent, size)
    try:
        array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
        with partial.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, partial.stat().st_size)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise refusal(file, error, size) from None
    return array


def finish(file: Path, array: np.memmap, key: dict[str, Any]) -> np.ndarray:
    """Give a whole array its name and its manifest, and return it for reading."""
    array.flush()
    os.replace(_partial(file), file)
    manifest = {"key": key, "sha256": _digest(file)}
    text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True)
    write_atomically(_manifest(file), lambda stream: stream.write(text.encode()))
    return np.load(file, mmap_mode="r", allow_pickle=False)


def reopen(file: Path, key: dict[str, Any]) -> np.ndarray | None:
    """Return a finished array for reading; None if there is none.

    Raises:
        MeasurementError: It is damaged, or answers another question.
    """
    if not _manifest(file).exists() or not file.exists():
        return None
    try:
        manifest = json.loads(_manifest(file).read_bytes())
        saved_key, digest = dict(manifest["key"]), manifest["sha256"]
    except (ValueError, KeyError, TypeError):
        raise MeasurementError(
            f"{_manifest(file)} is damaged. Use --fresh to collect the activations again."
        ) from None
    if differing := unequal(saved_key, json.loads(json.dumps(key))):
        raise MeasurementError(
            f"{file} holds other activations ({differing}). Use --fresh to replace them, or another --out."
        )
    if _digest(file) != digest:
        raise MeasurementError(
            f"{file} is not what was written there (its checksum differs). Use --fresh to collect it again."
        )
    return np.load(file, mmap_mode="r", allow_pickle=False)


def discard(file: Path) -> None:
    """Remove an array, finished or not."""
    for path in (_manifest(file), file, _partial(file)):
        path.unlink(missing_ok=True)


def _partial(file: Path) -> Path:
    return file.with_name(file.name + ".partial")


def _manifest(file: Path) -> Path:
    return file.with_name(file.name + ".json")


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
