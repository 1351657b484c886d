"""`interp study ...`: from a list of checkpoints to claims, tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp.console import console, interruptible, say_files

if TYPE_CHECKING:
    from analyses.study.claims import Claim
    from analyses.study.file import Study
    from analyses.study.record import Record

__all__ = ["run_and_report", "study_app"]

study_app = typer.Typer(
    no_args_is_help=True, help="Measure many checkpoints by one file, and tell what the results carry."
)
_File = Annotated[str, typer.Argument(help="Study file (.toml), or one that comes with the package: demo.")]
_Out = Annotated[Path | None, typer.Option(help="Folder of the study, in place of what the file says.")]


@study_app.command("plan")
def plan_command(file: _File, out: _Out = None) -> None:
    """Print the cells of a study and which are done, without opening a model.

    Example: `interp study plan demo`
    """
    from analyses.study.cells import plan_study
    from analyses.study.file import read_study
    from figures.study import plan_tables
    from figures.table import print_tables

    print_tables(plan_tables(plan_study(read_study(file, out)).record()), console())


@study_app.command("status")
def status_command(file: _File, out: _Out = None) -> None:
    """Print how many cells are done, interrupted, failed or waiting, and why cells failed.

    Example: `interp study status demo`
    """
    from analyses.study.cells import plan_study
    from analyses.study.file import read_study

    _print_status(plan_study(read_study(file, out)).record())


@study_app.command("run")
def run_command(
    file: _File,
    out: _Out = None,
    retry: Annotated[bool, typer.Option(help="Try cells again that failed before.")] = False,
    on: Annotated[
        str,
        typer.Option(
            help="Where cells run: here; local:N for N worker processes; or a TOML file of a cluster."
        ),
    ] = "here",
) -> None:
    """Train and measure all that a study file names, then write its claims, tables, figures and report.

    Finished cells are skipped and interrupted ones continue; a failed cell is listed with its reason.

    Example: `interp study run demo --out study-demo`
    """
    from analyses.study.file import read_study

    run_and_report(read_study(file, out), retry=retry, on=on)


@study_app.command("report")
def report_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a study that was run.")],
) -> None:
    """Write claims, tables, figures and the report again from what is done, without a model or torch.

    Example: `interp study report study-demo`
    """
    from analyses.study.record import read_record

    _report(read_record(folder), folder)


def run_and_report(study: Study, *, retry: bool = False, on: str = "here") -> list[Claim]:
    """Run a study and write its report; its claims.

    Raises:
        Exit: With 1, when cells failed.
    """
    from analyses.study.running import run_study

    measure = None
    if on != "here":
        from analyses.study.workers import on_workers

        measure = on_workers(on)
    with interruptible() as progress:
        record = run_study(study, progress, retry=retry, measure=measure)
    _print_status(record)
    claims = _report(record, study.out)
    if record.counts().get("failed"):
        raise typer.Exit(1)
    return claims


def _report(record: Record, out: Path) -> list[Claim]:
    from figures.study import claim_tables, write_report
    from figures.table import print_tables

    files, claims = write_report(record, out)
    print_tables(claim_tables(claims), console())
    say_files(files)
    return claims


def _print_status(record: Record) -> None:
    states = ", ".join(f"{n} {state}" for state, n in record.counts().items())
    print(f"{record.name}: {len(record.cells)} cells, {states}")
    seconds = sum(cell.seconds or 0 for cell in record.cells)
    if seconds:
        print(f"  Measuring what is done took {seconds / 3600:.2f} hours.")
    for cell in record.cells:
        if cell.reason:
            print(f"  failed: {cell.label}: {cell.reason}")
    if record.counts().get("failed"):
        print("  Try failed cells again with --retry.")
