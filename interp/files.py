"""Write a file whole or not at all; find out before the work whether there is room for its result."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from interp.errors import NoSpaceError, WriteError

__all__ = ["file_digest", "refusal", "require_room", "write_atomically"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[IO[bytes]], object], *, expected_bytes: int = 0) -> None:
    """Write through a private temporary file in the same folder, flush it to disk, then rename.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only. The temporary file is removed.
        WriteError: The file cannot be written for another reason.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        raise refusal(path, error, expected_bytes) from None
    except BaseException:
        _remove(temporary)
        raise


def require_room(folder: Path, expected_bytes: int = 0) -> None:
    """Find out before the work, rather than after it, whether its result can be written to a folder.

    Raises:
        NoSpaceError: There is less free space than expected, or none can be used.
        WriteError: The folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise refusal(folder, error, expected_bytes) from None
    if free < expected_bytes:
        full = OSError(errno.ENOSPC, f"{free / 1e6:.1f} MB are free")
        raise refusal(folder, full, expected_bytes)


def refusal(path: Path, error: OSError, expected_bytes: int = 0) -> WriteError:
    """The error for a path that the operating system refused to write."""
    if error.errno not in _FULL:
        return WriteError(f"{path} cannot be written: {error.strerror or error}.")
    need = f" {expected_bytes / 1e6:.1f} MB are needed;" if expected_bytes else ""
    return NoSpaceError(
        f"{path} cannot be written: {error.strerror};{need} free some space and run the same command again."
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remove(temporary: str | None) -> None:
    if temporary is not None and os.path.exists(temporary):
        os.unlink(temporary)
