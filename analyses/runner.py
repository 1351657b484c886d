"""The one runner: plan, reuse, resume, measure and keep the cells of any measure, and compare checkpoints."""

from __future__ import annotations

import glob
import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from analyses.checkpoints import open_checkpoints
from analyses.comparison import Comparison, Survival, compare_all, survival
from analyses.plan import Measure, Part, Plan, Progress, Request, Task
from analyses.reuse import partial_file, result_file, reusable
from interp.config import CheckpointOptions, DataOptions, NumericOptions, OutputOptions, load_options
from interp.data.controls import parse_controls
from interp.model.checkpoints import Checkpoint
from interp.registry import registered_command
from interp.results.base import Result

__all__ = ["Cell", "Run", "plan_measure", "run", "run_cells", "run_measure"]


@dataclass(frozen=True)
class Cell:
    """One part of one checkpoint: what a study schedules.

    Attributes:
        part: What is measured, and under which control.
        checkpoint: Of which checkpoint.
    """

    part: Part[Any]
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Run:
    """What one measure gave for several checkpoints.

    Attributes:
        names: Checkpoints, in the order given.
        plan: What was asked.
        results: Name of a part, such as ``routing`` or ``routing.romanized``, to its results, one per
            checkpoint.
        comparisons: Suffix of a part to the comparisons of each later checkpoint with the first; the p of all
            of them are corrected as one family.
        survival: Name of a part under a control to what survives of it, one per checkpoint.
        files: Everything written or reused.
    """

    names: tuple[str, ...]
    plan: Plan
    results: dict[str, list[Any]] = field(default_factory=dict)
    comparisons: dict[str, list[Comparison]] = field(default_factory=dict)
    survival: dict[str, list[Survival]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def diagnostics(self) -> list[str]:
        """What makes the results weaker (`Note`) or doubtful, by checkpoint."""
        return [
            type(text)(f"{name}: {text}")
            for results in self.results.values()
            for name, result in zip(self.names, results, strict=True)
            for text in result.diagnostics(**self.plan.view)
        ]


def run(command: str, progress: Progress | None = None, **options: Any) -> Run:
    """Run a measure as the command line does, from a notebook.

    Args:
        command: Name of a command that measures, such as ``routing``.
        progress: Called with a label, work done and work in all.
        options: What the command takes, such as ``ckpt=["organism:final"]``, ``languages="en,sw"``,
            ``out="results"``.

    Raises:
        InterpError: As of `run_measure`; or there is no such command or option.
    """
    registered = registered_command(command)
    measure: Measure = importlib.import_module(f"analyses.{registered.name}").MEASURE
    return run_measure(
        measure, load_options(measure.options, None, options, measure.defaults_of(command)), progress
    )


def run_measure(measure: Measure, options: Sequence[Any], progress: Progress | None = None) -> Run:
    """Plan a measure for the checkpoints of a command, run it, and compare each checkpoint with the first.

    Every cheap thing that can be wrong is checked before a model is opened. Finished results are reused,
    interrupted ones continue. Under each control of the data everything is planned and measured once more,
    and what survives is compared with what the same checkpoint gave without it.

    Args:
        measure: Which.
        options: One instance of each of `Measure.options`.
        progress: Called with a label, work done and work in all.

    Raises:
        InterpError: Bad input, damaged files, a folder that holds results of other settings, or an
            interruption.
    """
    given = {type(each): each for each in options}
    numerics, output = given[NumericOptions], given[OutputOptions]
    plan = plan_measure(measure, options)
    checkpoints = open_checkpoints(given[CheckpointOptions].ckpt, output.out)
    cells = [Cell(part, checkpoint) for checkpoint in checkpoints for part in plan.parts]
    results = iter(run_cells(cells, numerics, output, progress))
    run = Run(tuple(checkpoint.name for checkpoint in checkpoints), plan)
    for checkpoint in checkpoints:
        for part in plan.parts:
            run.results.setdefault(part.name, []).append(next(results))
            run.files.append(result_file(output.out, checkpoint, part.name))
    plain = {part.name: run.results[part.name] for part in plan.parts if not part.control}
    run.comparisons.update(compare_all(plain, run.names, **plan.view))
    for part in plan.parts:
        if part.control:
            pairs = zip(run.names, run.results[part.suffix], run.results[part.name], strict=True)
            run.survival[part.name] = [survival(*pair, name=name, **plan.view) for name, *pair in pairs]
    return run


def plan_measure(measure: Measure, options: Sequence[Any]) -> Plan:
    """What a measure does with each checkpoint, under each control of the data once more.

    Args:
        measure: Which.
        options: One instance of each of `Measure.options`.

    Raises:
        InterpError: Bad input.
    """
    given = {type(each): each for each in options}
    data, view = given[DataOptions], given[measure.view] if measure.view else None

    def planned(control: str) -> Plan:
        asked, settings = replace(data, control=control), given[measure.settings]
        return measure.plan(Request(asked, given[NumericOptions], settings, view, given[OutputOptions].out))

    plan = planned("")
    under = [part.under(name) for name in parse_controls(data.control) for part in planned(name).parts]
    return replace(plan, parts=(*plan.parts, *under))


def run_cells(
    cells: Sequence[Cell], numerics: NumericOptions, output: OutputOptions, progress: Progress | None = None
) -> list[Result]:
    """Return the results of cells, in their order: reused where they are finished, measured where not.

    All finished results are looked at before anything is measured. Cells of one checkpoint that follow each
    other open its model once.

    Args:
        cells: Which parts of which checkpoints.
        numerics: How models run.
        output: Where results are kept, and whether what is there is discarded.
        progress: Called with a label, work done and work in all.

    Raises:
        ResultError: A finished result answers another question, or is damaged.
        Interrupted: Ctrl-C or SIGTERM; what is done is kept.
    """
    if output.fresh:
        for cell in cells:
            _discard(_files(cell.part, cell.checkpoint, output.out))
    done = [finished(cell, output.out) for cell in cells]
    opened: tuple[str, Any] = ("", None)
    results = []
    for cell, result in zip(cells, done, strict=True):
        if result is None:
            if opened[0] != cell.checkpoint.fingerprint:
                opened = (cell.checkpoint.fingerprint, _opener(cell.checkpoint, numerics))
            result = _measured(cell.part, cell.checkpoint, opened[1], numerics, output.out, progress)
        results.append(result)
    return results


def finished(cell: Cell, out: Path) -> Any:
    """The finished result of a cell, in its view; None where there is none. So for parts it needs."""
    file = result_file(out, cell.checkpoint, cell.part.name)
    result = reusable(cell.part.kind, file, cell.part.question, cell.checkpoint, ignored=cell.part.ignored)
    if result is None:
        for part in cell.part.needs:
            finished(Cell(part, cell.checkpoint), out)
        return None
    adapted = cell.part.adapt(result)
    if adapted is not result:
        adapted.save(file)
    return adapted


def _measured(
    part: Part[Any],
    checkpoint: Checkpoint,
    opener: Any,
    numerics: NumericOptions,
    out: Path,
    progress: Progress | None,
) -> Any:
    """Measure a part and what it needs, and keep it."""
    needs = {
        need.suffix: finished(Cell(need, checkpoint), out)
        or _measured(need, checkpoint, opener, numerics, out, progress)
        for need in part.needs
    }
    resume = partial_file(out, checkpoint, part.name)
    task = Task(
        opener,
        f"{checkpoint.name} {part.control}".strip(),
        resume,
        numerics.batch_tokens,
        needs,
        progress,
        lambda suffix: out / f"{checkpoint.name}.{_beside(part, suffix)}",
    )
    result = part.measure(task)
    result.save(result_file(out, checkpoint, part.name))
    _discard(part.leftovers(resume))
    return result


def _beside(part: Part[Any], suffix: str) -> str:
    """What a shared file is called after the checkpoint: controls share none with what is not under them."""
    return f"{part.control}.{suffix}" if part.control else suffix


def _opener(checkpoint: Checkpoint, numerics: NumericOptions) -> Any:
    """Opens a checkpoint when it is first asked for."""

    @cache
    def opened() -> Any:
        from interp.model.loading import open_checkpoint

        return open_checkpoint(
            checkpoint, dtype=numerics.dtype, device=numerics.device, attention=numerics.attention
        )

    return opened


def _files(part: Part[Any], checkpoint: Checkpoint, out: Path) -> Iterator[Path]:
    """Everything that a folder may hold of a part and of what it needs."""
    yield result_file(out, checkpoint, part.name)
    yield from part.leftovers(partial_file(out, checkpoint, part.name))
    for suffix in part.shared:
        yield from out.glob(f"{glob.escape(checkpoint.name)}.{_beside(part, suffix)}*")
    for need in part.needs:
        yield from _files(need, checkpoint, out)


def _discard(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
