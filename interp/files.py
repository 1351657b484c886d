"""Write files whole or not at all; look for room before the work; clear what killed processes left."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from interp.errors import NoSpaceError, WriteError
from interp.interruption import at_stop
from interp.processes import recently_touched, this_process, writer_of

__all__ = [
    "cache_folder",
    "clear_leftovers",
    "disk_errors",
    "disk_failure",
    "file_digest",
    "refusal",
    "require_room",
    "sync_folder",
    "temporary_name",
    "unfinished",
    "write_atomically",
]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_FAILED = _FULL | {errno.EFBIG, errno.EIO}
_WORDS = {
    errno.ENOSPC: re.compile(
        r"no space left|(os error|errno) 28\b|PytorchStreamWriter|inline_container|iostream error"
        r"|disk is full|^\d+ requested and \d+ written$",  # torch, sqlite, numpy
        re.IGNORECASE,
    ),
    errno.EDQUOT: re.compile(r"quota exceeded|os error 122\b", re.IGNORECASE),
    errno.EROFS: re.compile(r"Read-only file system|os error 30\b", re.IGNORECASE),
    errno.EFBIG: re.compile(r"File too large|os error 27\b", re.IGNORECASE),
}
"""How libraries that keep no error number say that a disk is full."""
_NUMBERED = re.compile(r"\.\d+\.tmp$")
_unfinished: set[str] = set()
_cleared: set[Path] = set()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where what can be made again is kept: ``INTERP_CACHE``, or ``interp`` in the user's cache folder."""
    if given := os.environ.get("INTERP_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interp"


def write_atomically(path: Path, write: Callable[[IO[bytes]], object], *, expected_bytes: int = 0) -> None:
    """Write through a private temporary file in the same folder, flush it to disk, then rename.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only. The temporary file is removed.
        WriteError: The file cannot be written for another reason.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _cleared:
            clear_leftovers(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=temporary_name(path.name), suffix=".tmp")
        _unfinished.add(temporary)
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        _remove(temporary)
        failure = disk_failure(error) or (error if isinstance(error, OSError) else None)
        if failure is None:
            raise
        raise refusal(path, failure, expected_bytes) from None
    finally:
        _unfinished.discard(str(temporary))


def temporary_name(name: str) -> str:
    """How the name of an unfinished file or folder begins: it says whose it is."""
    return f".{name}.{this_process().tag}."


@contextmanager
def unfinished(folder: Path) -> Iterator[None]:
    """Remove a temporary folder at the end unless it was renamed, also when a signal ends the process."""
    _unfinished.add(str(folder))
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unfinished.discard(str(folder))


def clear_leftovers(*folders: Path, removed: Iterable[Path] = ()) -> None:
    """Remove the unfinished files and folders of processes that are gone, and count them in one line.

    Args:
        folders: Where to look, not below them.
        removed: What else was removed, to be counted with them.
    """
    left = [entry for folder in folders for entry in _leftovers(folder)]
    for entry in left:
        shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
    _cleared.update(folders)
    if removed := [*removed, *left]:
        logging.getLogger(__name__).warning(
            "Removed %d unfinished file%s of killed runs, such as %s.",
            len(removed),
            "s" * (len(removed) > 1),
            removed[0],
        )


def _leftovers(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for entry in sorted(folder.glob("*.tmp")):
        if entry.name.startswith(".") or _NUMBERED.search(entry.name):
            writer = writer_of(entry.name)
            if not (writer.alive(entry) if writer else recently_touched(entry)):
                yield entry


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


@contextmanager
def disk_errors(path: Path, expected_bytes: int = 0) -> Iterator[None]:
    """Turn whatever a library raises when it cannot write to a disk into one error that says what to do.

    Raises:
        NoSpaceError: The disk is full, over quota or read-only.
        WriteError: A file cannot be written for another reason.
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        if (failure := disk_failure(error)) is None:
            raise
        raise refusal(Path(failure.filename or path), failure, expected_bytes) from None


def disk_failure(error: BaseException | None) -> OSError | None:
    """The failure to write to a disk that an error comes from, in any library's words; None for others."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _FAILED:
            return error
        if not isinstance(error, OSError) or error.errno is None:
            for number, words in _WORDS.items():
                if words.search(str(error)):
                    return OSError(number, os.strerror(number))
        error = error.__cause__ or error.__context__
    return None


def refusal(path: Path, error: OSError, expected_bytes: int = 0) -> WriteError:
    """The error for a path that the operating system refused to write."""
    if error.errno not in _FULL:
        return WriteError(f"{path} cannot be written: {error.strerror or error}.")
    need = f" {expected_bytes / 1e6:.1f} MB are needed;" if expected_bytes else ""
    return NoSpaceError(
        f"{path} cannot be written: {error.strerror};{need} free some space and run the same command again."
    )


def sync_folder(folder: Path) -> None:
    """Bring every file of a folder, and the folder itself, to the disk."""
    for entry in (*(file for file in folder.rglob("*") if file.is_file()), folder):
        handle = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remove(temporary: str | None) -> None:
    if temporary is not None and os.path.exists(temporary):
        os.unlink(temporary)


@at_stop
def _remove_unfinished() -> None:
    for path in list(_unfinished):
        shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else _remove(path)
