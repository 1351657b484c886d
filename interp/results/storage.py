"""Write a file whole or not at all, and read our own archives without pickle."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from interp.errors import NoSpaceError, ResultError

__all__ = ["read_archive", "require_room", "write_archive", "write_atomically"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def write_atomically(path: Path, write: Callable[[IO[bytes]], object], *, expected_bytes: int = 0) -> None:
    """Write through a private temporary file in the same folder, flush it to disk, then rename.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only. The temporary file is removed.
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
        raise _refusal(path, error, expected_bytes) from None
    except BaseException:
        _remove(temporary)
        raise


def require_room(folder: Path, expected_bytes: int = 0) -> None:
    """Find out before the work, rather than after it, whether its result can be written to a folder.

    Raises:
        NoSpaceError: There is less free space than expected, or none can be used.
        ResultError: The folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _refusal(folder, error, expected_bytes) from None
    if free < expected_bytes:
        full = OSError(errno.ENOSPC, f"{free / 1e6:.1f} MB are free")
        raise _refusal(folder, full, expected_bytes)


def write_archive(
    path: Path, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, compress: bool = True
) -> None:
    """Write arrays and a JSON description as one .npz; compress what is kept, not what is replaced every minute."""
    text = np.frombuffer(json.dumps(meta, ensure_ascii=False, sort_keys=True).encode(), dtype=np.uint8)
    savez = np.savez_compressed if compress else np.savez
    write_atomically(
        path,
        lambda stream: savez(stream, allow_pickle=False, meta=text, **arrays),
        expected_bytes=sum(a.nbytes for a in arrays.values()),
    )


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_archive` wrote.

    Raises:
        ResultError: The file is missing, damaged or not ours.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(arrays.pop("meta").tobytes())
    except FileNotFoundError:
        raise ResultError(f"No result at {path.absolute()}.") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ResultError(
            f"{path} is not a result of interp, or is damaged ({type(error).__name__})."
        ) from None
    return meta, arrays


def _refusal(path: Path, error: OSError, expected_bytes: int) -> ResultError | NoSpaceError:
    if error.errno not in _FULL:
        return ResultError(f"{path} cannot be written: {error.strerror or error}.")
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
