"""Write a file whole or not at all, and read our own archives without pickle."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from interp.errors import NoSpaceError, ResultError

__all__ = ["read_archive", "write_archive", "write_atomically"]

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
        if error.errno in _FULL:
            need = f" about {expected_bytes / 1e6:.0f} MB are needed;" if expected_bytes else ""
            raise NoSpaceError(
                f"{path} cannot be written: {error.strerror};{need} free some space and run the same command again."
            ) from None
        raise ResultError(f"{path} cannot be written: {error.strerror or error}.") from None
    except BaseException:
        _remove(temporary)
        raise


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remove(temporary: str | None) -> None:
    if temporary is not None and os.path.exists(temporary):
        os.unlink(temporary)
