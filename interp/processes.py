"""Which process: a name that no other process on any machine has, and whether it still runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["SILENT", "Process", "recently_touched", "this_process", "writer_of"]

SILENT = 300.0
"""Seconds without a sign of life after which a process of another machine counts as dead."""

_TAG = re.compile(r"\.([0-9a-f]{8})-(\d+)-(\d+)\.")


@dataclass(frozen=True)
class Process:
    """A process that no other can be taken for.

    Attributes:
        host: Eight hexadecimal digits of name, boot and process namespace of its machine.
        pid: Its number.
        started: When it started, in the clock ticks of its machine; 0 where that is not known.
    """

    host: str
    pid: int
    started: int

    @property
    def tag(self) -> str:
        """Name in a file name."""
        return f"{self.host}-{self.pid}-{self.started}"

    def alive(self, trace: Path) -> bool:
        """Whether it runs; of another host, whether ``trace`` was touched lately."""
        if self.host == _host():
            return _started(self.pid) == self.started
        return recently_touched(trace)


def writer_of(name: str) -> Process | None:
    """The process that a file name says it is written by."""
    found = _TAG.search(name)
    return None if found is None else Process(found[1], int(found[2]), int(found[3]))


def recently_touched(trace: Path) -> bool:
    """Whether a file was changed within `SILENT` seconds, on the clock of its file system."""
    try:
        with tempfile.TemporaryFile(dir=trace.parent) as stream:
            return os.fstat(stream.fileno()).st_mtime - trace.stat().st_mtime < SILENT
    except OSError:
        return False


@cache
def _this_process(pid: int) -> Process:
    return Process(_host(), pid, _started(pid) or 0)


def this_process() -> Process:
    """This process, also after a fork."""
    return _this_process(os.getpid())


@cache
def _host() -> str:
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _started(pid: int) -> int | None:
    """When a process of this machine started, in clock ticks; 0 where unknown; None for no process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        if os.path.isdir("/proc/self"):
            return None
        return 0 if _exists(pid) else None
    return None if fields[0] in "ZX" else int(fields[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
