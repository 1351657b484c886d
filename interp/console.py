"""What commands show while and after they work: progress bars, lines, lists of files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "no_bars_in_files", "progress_bars", "say", "say_files"]


def console(stderr: bool = False) -> Console:
    """Return a rich console."""
    from rich.console import Console

    return Console(stderr=stderr)


def say(text: str) -> None:
    """Print a line with rich's markup."""
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
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar per label on a terminal; nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def update(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)

        yield update


def no_bars_in_files() -> None:
    """Switch off transformers' own bars where nobody watches."""
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
