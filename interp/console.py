"""What commands show while and after they work: progress on a terminal or in a log, and lists of files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from interp.errors import Interrupted

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "interruptible", "progress_bars", "say", "say_files"]

Progress = Callable[[str, int, int], None]
_UNLIMITED = 10_000  # columns
_EVERY = 30.0  # seconds between two lines of progress in a log


def console(stderr: bool = False) -> Console:
    """Return a rich console; where nobody watches, one so wide that it cuts no table."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _UNLIMITED)


def say(text: str) -> None:
    """Print a line with rich's markup."""
    console().print(text, highlight=False, soft_wrap=True)


def say_files(files: Iterable[Path], folder: Path | None = None) -> None:
    """List files, one line for those that differ in their suffix; count what killed runs left in a folder."""
    stems: dict[Path, list[str]] = {}
    for file in files:
        stems.setdefault(file.with_suffix(""), []).append(file.suffix)
    print("\nWritten or reused:")
    for stem, suffixes in stems.items():
        print(f"  {stem}{' '.join(dict.fromkeys(suffixes))}")
    if folder is not None and (leftovers := sorted(folder.glob(".*.tmp"))):
        print(f"Ignored: {len(leftovers)} unfinished files of runs that were killed, such as {leftovers[0]}")


@contextmanager
def interruptible() -> Iterator[Progress]:
    """Show progress; Ctrl-C between two passes is an interruption like one within.

    Raises:
        Interrupted: Ctrl-C.
    """
    try:
        with progress_bars() as progress:
            yield progress
    except KeyboardInterrupt:
        raise Interrupted("Stopped.") from None


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A bar per label on a terminal; in a pipe or log, a line on stderr now and then."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def update(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)

        yield update


def _lines() -> Progress:
    """Progress as lines: the first after half a minute, so that short work says nothing."""
    started = time.monotonic()
    last = started

    def update(label: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY:
            last = now
            print(f"{now - started:6.0f} s  {label}: {done} of {total}", file=sys.stderr, flush=True)

    return update
