"""Stop without losing work: at once where nothing is lost by it, after the current step elsewhere."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from interp.errors import Interrupted

__all__ = ["at_stop", "end_at_once", "finish_quietly", "resume_command", "stop_signal"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 3.0  # seconds that native code has to come back before the process is ended from another thread
_at_stop: list[Callable[[], None]] = []
_ending = threading.Lock()
_scopes = 0  # open `stop_signal` scopes
_unheeded = 0  # signals since the outermost of them was opened


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a flag; a second one ends at once.

    Raises:
        Interrupted: The flag was set, and nobody has acted on it before the end.
    """
    global _scopes, _unheeded
    received: list[int] = []
    old: dict[int, object] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(number)
        elif callable(before := old[number]) and before is not signal.default_int_handler:
            before(number, frame)
        else:
            raise KeyboardInterrupt

    with contextlib.suppress(ValueError):  # not in the main thread: signals are somebody else's
        _scopes, _unheeded = _scopes + 1, 0
        old |= {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        _scopes -= 1
    if received:
        raise Interrupted("Stopped; what is done is kept.")


def at_stop(act: Callable[[], None]) -> Callable[[], None]:
    """Have something done when a signal ends the process at once, since no ``finally`` runs then."""
    _at_stop.append(act)
    return act


def end_at_once(line: Callable[[], str]) -> None:
    """From now on, end this process at Ctrl-C or SIGTERM outside of `stop_signal`: one line, exit code 130.

    An exception could be swallowed or renamed by whatever library runs just then, and would not reach native
    code; so the process ends where it stands, from another thread if the main one does not come back.
    """

    def end(number: int, frame: FrameType | None) -> None:
        _end(line)

    for number in _SIGNALS:
        signal.signal(number, end)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading, line), daemon=True).start()
    os.register_at_fork(after_in_child=_forget)


def finish_quietly(code: int) -> None:
    """From now on, let a signal end the process with its own exit code: its work is done."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: os._exit(code))


def resume_command(arguments: list[str]) -> str:
    """The same command, without what would discard the work that is to be resumed."""
    kept = [a if a.isprintable() else repr(a)[1:-1] for a in arguments if a != "--fresh"]
    from_file = any(a.startswith("--config") for a in kept)
    return shlex.join(["interp", *kept, *(["--no-fresh"] if from_file else [])])


def _watch(reading: int, line: Callable[[], str]) -> None:
    """End the process when the main thread does not."""
    global _unheeded
    while number := os.read(reading, 1):
        if number[0] not in _SIGNALS:
            continue
        _unheeded += 1
        if not _scopes or _unheeded > 1:
            time.sleep(_PATIENCE)
            if not _scopes or _unheeded > 1:
                _end(line)


def _end(line: Callable[[], str]) -> None:
    if not _ending.acquire(blocking=False):
        time.sleep(1)  # while the other thread is at it
        return
    for act in _at_stop:
        with contextlib.suppress(Exception):
            act()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    shown = "\x1b[?25h\n" if os.isatty(2) else ""  # a progress bar hides the cursor
    with contextlib.suppress(OSError):
        os.write(2, f"{shown}{line()}\n".encode(errors="replace"))
    os._exit(130)


def _forget() -> None:
    """Leave signals of a forked process to itself."""
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
