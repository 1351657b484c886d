"""The commands that measure checkpoints, one per registered measure: run, print tables, save figures."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from interp.config import OutputOptions
from interp.console import console, interruptible, say_files
from interp.flags import command_of
from interp.registry import MEASURES
from interp.registry import Measure as Registered

if TYPE_CHECKING:
    from analyses.comparison import Comparison
    from analyses.runner import Run
    from figures.drawing import Drawing

__all__ = ["measure_commands", "run_command"]


def measure_commands() -> list[tuple[str, Callable[..., None]]]:
    """Name and command of every registered measure."""
    return [(registered.command, _command(registered)) for registered in MEASURES]


def run_command(name: str, *options: Any) -> Run:
    """Run a measure with instances of its options, and print and save what it gives.

    Raises:
        Exit: With 1, when a check of the result failed and ``--strict`` is given.
    """
    from analyses.runner import run_measure
    from interp.results.base import Note

    output: OutputOptions = next(each for each in options if isinstance(each, OutputOptions))
    with interruptible() as progress:
        run = run_measure(_measure(name), options, progress)
    files = [*run.files, *_shown(run, output)]
    say_files(files, output.out)
    diagnostics = run.diagnostics()
    print_diagnostics(diagnostics)
    if output.strict and any(not isinstance(each, Note) for each in diagnostics):
        raise typer.Exit(1)
    return run


def print_diagnostics(diagnostics: list[str]) -> None:
    """Failed checks in a banner, notes below."""
    from rich.panel import Panel
    from rich.text import Text

    from interp.results.base import Note

    shown = console()
    if failed := [each for each in diagnostics if not isinstance(each, Note)]:
        shown.print(Panel.fit(Text("\n".join(failed)), title="SANITY CHECK FAILED", border_style="bold red"))
    for note in diagnostics:
        if isinstance(note, Note):
            shown.print(Text(f"Note: {note}", style="dim"))


def _command(registered: Registered) -> Callable[..., None]:
    measure = _measure(registered.name)
    defaults = measure.defaults_of(registered.command)

    def command(*options: Any) -> None:
        run_command(registered.name, *options)

    return command_of(
        command, measure.options, defaults, name=registered.command, help=measure.plan.__doc__ or ""
    )


def _measure(name: str) -> Any:
    return importlib.import_module(f"analyses.{name}").MEASURE


def _shown(run: Run, output: OutputOptions) -> list[Path]:
    """Print tables, and save data, figures and comparisons."""
    import figures
    from figures.table import print_tables

    files: list[Path] = []
    shown = console()
    if run.plan.note:
        print(run.plan.note)
    for suffix, results in run.results.items():
        context = {**run.plan.view, **run.plan.context}
        print_tables(figures.tables(results, run.names, **context), shown)
        for drawing in figures.drawings(results, run.names, **run.plan.view):
            files += _saved(drawing, output, suffix)
        for comparison in run.comparisons[suffix]:
            print_tables(figures.tables(comparison), shown)
            print(comparison.diagnosis)
            files += _compared(comparison, output, suffix)
    return files


def _compared(comparison: Comparison, output: OutputOptions, suffix: str) -> list[Path]:
    import figures

    stem = f"{comparison.names[0]}-to-{comparison.names[1]}.{suffix}"
    files = [comparison.save(output.out / f"{stem}.json")]
    for drawing in figures.drawings(comparison):
        files += _saved(drawing, output, stem)
    return files


def _saved(drawing: Drawing, output: OutputOptions, suffix: str) -> list[Path]:
    """The data of a drawing, and its figure if figures are asked for."""
    from figures.style import save_figure, write_table

    stem = ".".join(part for part in (drawing.stem, suffix) if part)
    if output.figure:
        return save_figure(drawing.draw(), output.out / stem, drawing.data)
    return [write_table(drawing.data, output.out / f"{stem}.csv")]
