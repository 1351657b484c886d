"""One writer per folder or file: a record beside it names its owner, by host, process and heartbeat."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from interp.errors import InterpError
from interp.files import refusal, temporary_name
from interp.interruption import at_stop
from interp.processes import Process, this_process

__all__ = ["OwnedError", "Ownership", "dead_records", "owned", "require_owned"]

_BEAT = 15.0  # seconds between two heartbeats
_log = logging.getLogger(__name__)
_held: dict[Path, Ownership] = {}


class OwnedError(InterpError):
    """Another process that is alive writes there."""


@dataclass(frozen=True)
class Ownership:
    """This process as the only writer of a folder or file.

    Attributes:
        record: File that says so.
        text: Its content.
    """

    record: Path
    text: str

    def require(self) -> None:
        """Refuse to go on if another process has taken over, as after a machine was suspended.

        Raises:
            OwnedError: Names the process.
        """
        there = _read(self.record)
        if there != self.text:
            raise OwnedError(
                f"{_describe(there) if there else 'Another process'} has taken over {self.record.parent} "
                "while this one was silent. Run the same command again, or use another --out."
            )


@contextmanager
def owned(folder: Path, name: str = "", *, wait: bool = False) -> Iterator[Ownership]:
    """Be the only process that writes a folder, or what is called ``name`` in it.

    The owner's record appears whole and exclusively. That of a dead process is taken over: on its own host
    by number and start of the process; across hosts by the age of the heartbeat, on the clock of the file
    system. Nothing depends on file locks, which some file systems ignore: one only makes it rarer that two
    take over at once, and who loses is told.

    Args:
        folder: Made if it is not there, and removed again if nothing was written.
        name: Part of the folder; empty for all of it.
        wait: Wait for a live owner to end, rather than refuse.

    Raises:
        OwnedError: A live process owns it.
        WriteError: The record cannot be written.
    """
    record = folder / (f".{name}.owner" if name else ".owner")
    if record.absolute() in _held:  # by an outer scope
        yield _held[record.absolute()]
        return
    made = not folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ownership = _acquire(record, folder / name, wait)
    except OSError as error:
        raise refusal(folder, error) from None
    try:
        yield ownership
    finally:
        _release(ownership)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()  # nothing was written


def require_owned(folder: Path) -> None:
    """Refuse to go on if another process has taken over a folder that this one owned.

    Raises:
        OwnedError: Names the process.
    """
    if ownership := _held.get((folder / ".owner").absolute()):
        ownership.require()


def dead_records(folder: Path) -> list[Path]:
    """Remove the records of owners that are gone, and return where they were."""
    removed = []
    for record in sorted(folder.glob(".*owner")) if folder.is_dir() else ():
        with _guard(folder):
            there = _read(record)
            if there is not None and not _alive(record, there) and _retire(record, there):
                removed.append(record)
    return removed


def _acquire(record: Path, what: Path, wait: bool) -> Ownership:
    process = this_process()
    text = json.dumps({"name": socket.gethostname(), **asdict(process), "at": time.time()})
    told = False
    while True:
        with _guard(record.parent):
            there = _read(record)
            if there is not None and not _alive(record, there) and _retire(record, there):
                _log.warning("Taking over %s from %s, which is gone.", what, _describe(there))
                there = None
            if there is None and _create(record, text):
                ownership = Ownership(record, text)
                _held[record.absolute()] = ownership
                _start_heart()
                return ownership
        if there is not None and not wait:
            raise OwnedError(
                f"{what} is being written by {_describe(there)}. Wait for its end, or use another --out."
            )
        if there is not None and not told:
            _log.warning("Waiting for %s, which is writing %s.", _describe(there), what)
            told = True
        time.sleep(0.2)


def _create(record: Path, text: str) -> bool:
    """Make the record appear whole, unless there is one."""
    private = record.with_name(f"{temporary_name(record.name)}tmp")
    private.write_text(text, encoding="utf-8")
    try:
        os.link(private, record)
    except FileExistsError:
        return False
    finally:
        private.unlink()
    return True


def _retire(record: Path, text: str) -> bool:
    """Remove the record of a dead owner, unless another process has been faster."""
    private = record.with_name(f"{temporary_name(record.name)}gone.tmp")
    try:
        os.rename(record, private)
    except FileNotFoundError:
        return True
    same = _read(private) == text
    if not same:
        with contextlib.suppress(FileExistsError):
            os.link(private, record)
    private.unlink()
    return same


def _release(ownership: Ownership) -> None:
    _held.pop(ownership.record.absolute(), None)
    with contextlib.suppress(OSError):
        if _read(ownership.record) == ownership.text:
            ownership.record.unlink()


def _alive(record: Path, text: str) -> bool:
    try:
        there = json.loads(text)
        process = Process(str(there["host"]), int(there["pid"]), int(there["started"]))
    except (ValueError, KeyError, TypeError):
        return False  # cut short, so its writer is gone
    return process.alive(record)


def _describe(text: str) -> str:
    try:
        there = json.loads(text)
        return f"process {int(there['pid'])} on {str(there['name'])[:60]}"
    except (ValueError, KeyError, TypeError):
        return "an unknown process"


def _read(record: Path) -> str | None:
    try:
        return record.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


@contextmanager
def _guard(folder: Path) -> Iterator[None]:
    """One process at a time, where the file system has locks and their owner is awake."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(40):
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


@cache
def _start_heart() -> None:
    threading.Thread(target=_beat, daemon=True).start()


def _beat() -> None:
    while True:
        time.sleep(_BEAT)
        for ownership in list(_held.values()):
            with contextlib.suppress(OSError):
                if _read(ownership.record) == ownership.text:
                    os.utime(ownership.record)


@at_stop
def _release_all() -> None:
    for ownership in list(_held.values()):
        _release(ownership)


def _forget() -> None:
    """A forked process owns nothing, and has no heart yet."""
    _held.clear()
    _start_heart.cache_clear()


os.register_at_fork(after_in_child=_forget)
