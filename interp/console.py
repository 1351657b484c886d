"""What commands show while and after they work, and the one place where text is made safe to show.

Names and texts come from files, arguments and other libraries. Whatever of them would move the cursor, color
the screen, turn a line round or stay unseen is written as an escape, on every stream, whoever prints it.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.characters import visible
from interp.errors import Interrupted

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "interruptible", "progress_bars", "say", "say_files", "shown_text", "visible_streams"]

Progress = Callable[[str, int, int], None]
_UNLIMITED = 10_000  # columns
_EVERY = 30.0  # seconds between two lines of progress in a log
_KEPT = "\n\t"


def shown_text(text: object) -> str:
    """A text as it is shown: lines stay, what cannot be seen is an escape."""
    return visible(text, None, keep=_KEPT)


@contextmanager
def visible_streams() -> Iterator[None]:
    """Nothing that cannot be seen is written to the terminal meanwhile; a warning is one line.

    What `console` draws is checked there, since a terminal's own codes are among it.
    """
    with redirect_stdout(_Visible(sys.stdout)), redirect_stderr(_Visible(sys.stderr)):
        before: Any = warnings.showwarning
        warnings.showwarning = _show_warning
        try:
            yield
        finally:
            warnings.showwarning = before


class _Visible:
    """A stream that writes what cannot be seen as escapes."""

    def __init__(self, stream: Any) -> None:
        self.rich_proxied_file = getattr(stream, "rich_proxied_file", stream)  # where rich's own codes go

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(self._encodable(shown_text(text)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)

    def _encodable(self, text: str) -> str:
        encoding = getattr(self.rich_proxied_file, "encoding", None) or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding)


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    print(f"Warning ({category.__name__}): {visible(message, 1000)}", file=sys.stderr)


@cache
def _visible_console() -> type[Console]:
    from rich.console import Console
    from rich.segment import Segment

    class VisibleConsole(Console):
        """A console whose texts hide nothing."""

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                codes = segment.control
                yield segment if codes else Segment(shown_text(segment.text), segment.style)

    return VisibleConsole


def console(stderr: bool = False) -> Console:
    """Return a rich console; where nobody watches, one so wide that it cuts no table."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNLIMITED
    file: Any = stream
    while hasattr(file, "rich_proxied_file"):  # of `_Visible`, and of a bar that is shown
        file = file.rich_proxied_file
    return _visible_console()(file=file, stderr=stderr, width=width)


def say(text: str) -> None:
    """Print a line with rich's markup; what is no markup goes through `rich.markup.escape`."""
    console().print(text, highlight=False, soft_wrap=True)


def say_files(files: Iterable[Path]) -> None:
    """List files, those that differ only in their suffix on one line."""
    stems: dict[Path, list[str]] = {}
    for file in files:
        stems.setdefault(file.with_suffix(""), []).append(file.suffix)
    print("\nWritten or reused:")
    for stem, suffixes in stems.items():
        print(f"  {stem}{' '.join(dict.fromkeys(suffixes))}")


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
