"""The one runner: plan, reuse, resume, measure and keep the cells of any measure, and compare checkpoints."""

from __future__ import annotations

import glob
import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analyses.checkpoints import open_checkpoints
from analyses.comparison import Comparison, compare
from analyses.plan import Cell, Measure, Part, Plan, Progress, Request, Task
from analyses.reuse import Place, partial_file, place_in, result_file, reusable
from interp.config import CheckpointOptions, DataOptions, NumericOptions, OutputOptions, load_options
from interp.model.checkpoints import Checkpoint
from interp.registry import registered_command
from interp.results.base import Result

__all__ = ["Models", "Run", "finished", "run", "run_cell", "run_cells", "run_measure"]


@dataclass(frozen=True)
class Run:
    """What one measure gave for several checkpoints.

    Attributes:
        names: Checkpoints, in the order given.
        plan: What was asked.
        results: Suffix of a part to its results, one per checkpoint.
        comparisons: Suffix of a part to the comparisons of each later checkpoint with the first.
        files: Everything written or reused.
    """

    names: tuple[str, ...]
    plan: Plan
    results: dict[str, list[Any]] = field(default_factory=dict)
    comparisons: dict[str, list[Comparison]] = field(default_factory=dict)
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
    interrupted ones continue.

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
    view = given[measure.view] if measure.view else None
    plan = measure.plan(Request(given[DataOptions], numerics, given[measure.settings], view, output.out))
    checkpoints = open_checkpoints(given[CheckpointOptions].ckpt, output.out)
    cells = [Cell(part, checkpoint) for checkpoint in checkpoints for part in plan.parts]
    results = iter(run_cells(cells, numerics, output, progress))
    run = Run(tuple(checkpoint.name for checkpoint in checkpoints), plan)
    for checkpoint in checkpoints:
        for part in plan.parts:
            run.results.setdefault(part.suffix, []).append(next(results))
            run.files.append(result_file(output.out, checkpoint, part.suffix))
    for suffix, measured in run.results.items():
        run.comparisons[suffix] = [
            compare(measured[0], later, names=(run.names[0], name), **plan.view)
            for name, later in zip(run.names[1:], measured[1:], strict=True)
        ]
    return run


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
    place = place_in(output.out)
    if output.fresh:
        for cell in cells:
            _discard(_files(cell.part, cell.checkpoint, output.out))
    done = [finished(cell, place) for cell in cells]
    models = Models()
    return [
        run_cell(cell, place, numerics, models, progress) if result is None else result
        for cell, result in zip(cells, done, strict=True)
    ]


def finished(cell: Cell, place: Place) -> Any:
    """The finished result of a cell, in its view; None where there is none. So for parts it needs."""
    file = place(cell.part, cell.checkpoint)
    result = reusable(cell.part.kind, file, cell.part.question, cell.checkpoint, ignored=cell.part.ignored)
    if result is None:
        for part in cell.part.needs:
            finished(Cell(part, cell.checkpoint), place)
        return None
    adapted = cell.part.adapt(result)
    if adapted is not result:
        adapted.save(file)
    return adapted


def run_cell(
    cell: Cell, place: Place, numerics: NumericOptions, models: Models, progress: Progress | None = None
) -> Any:
    """Measure a cell and what it needs, and keep both.

    Args:
        cell: Which part of which checkpoint.
        place: Where results are kept.
        numerics: How the model runs.
        models: Holds the model that is open.
        progress: Called with a label, work done and work in all.

    Raises:
        InterpError: It cannot be measured, or was interrupted.
    """
    part, checkpoint, file = cell.part, cell.checkpoint, place(cell.part, cell.checkpoint)
    needed = [Cell(need, checkpoint) for need in part.needs]
    needs = {
        each.part.suffix: finished(each, place) or run_cell(each, place, numerics, models, progress)
        for each in needed
    }
    resume = partial_file(file)
    task = Task(
        lambda: models.open(checkpoint, numerics),
        checkpoint.name,
        resume,
        numerics.batch_tokens,
        needs,
        progress,
        lambda suffix: file.with_name(f"{checkpoint.name}.{suffix}"),
    )
    result = part.measure(task)
    result.save(file)
    _discard(part.leftovers(resume))
    return result


class Models:
    """The model that is open: the last that was asked for, so that cells of one checkpoint open it once."""

    def __init__(self) -> None:
        self._key: tuple[str, ...] = ()
        self._model: Any = None

    def open(self, checkpoint: Checkpoint, numerics: NumericOptions) -> Any:
        """The opened checkpoint."""
        from interp.model.loading import open_checkpoint

        how = {"dtype": numerics.dtype, "device": numerics.device, "attention": numerics.attention}
        key = (checkpoint.fingerprint, *how.values())
        if self._key != key:
            self._key, self._model = (), None  # room for the next
            self._model = open_checkpoint(checkpoint, **how)
            self._key = key
        return self._model


def _files(part: Part[Any], checkpoint: Checkpoint, out: Path) -> Iterator[Path]:
    """Everything that a folder may hold of a part and of what it needs."""
    yield result_file(out, checkpoint, part.suffix)
    yield from part.leftovers(partial_file(result_file(out, checkpoint, part.suffix)))
    for suffix in part.shared:
        yield from out.glob(f"{glob.escape(checkpoint.name)}.{suffix}*")
    for need in part.needs:
        yield from _files(need, checkpoint, out)


def _discard(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
