"""How commands on several checkpoints begin and end: bars and interruption; comparisons, files and diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from interp.console import console, no_bars_in_files, progress_bars, say_files
from interp.errors import Interrupted

if TYPE_CHECKING:
    from analyses.changes import Changes
    from analyses.series import Series

__all__ = ["conclude", "interruptible"]


@contextmanager
def interruptible() -> Iterator[Callable[[str, int, int], None]]:
    """Show progress; Ctrl-C between two passes is an interruption like one within."""
    no_bars_in_files()
    try:
        with progress_bars() as progress:
            yield progress
    except KeyboardInterrupt:
        raise Interrupted("Stopped.") from None


def conclude(series: Series[Any], drawn: Sequence[Path], out: Path, *, figure: bool, strict: bool) -> None:
    """Print, write and draw the comparisons, list the files, and say what is doubtful.

    Raises:
        Exit: With 1, when something is doubtful and ``strict`` is asked for.
    """
    from figures.terminal import print_changes, print_diagnostics

    files = [*series.files, *drawn]
    for change in series.comparisons:
        print_changes(change, console())
        stem = out / f"{change.names[0]}-to-{change.names[1]}.{series.suffix}"
        files.append(change.save(stem.with_name(f"{stem.name}.json")))
        files += _drawn(change, stem) if figure else []
    say_files(files)
    diagnostics = series.diagnostics()
    print_diagnostics(diagnostics, console())
    if diagnostics and strict:
        raise typer.Exit(1)


def _drawn(change: Changes, stem: Path) -> list[Path]:
    from figures import plot
    from figures.style import save_figure

    return save_figure(plot(change), stem, change.to_frame())
