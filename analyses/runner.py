"""The one runner: plan, reuse, resume, measure and keep the cells of any measure, and compare checkpoints."""

from __future__ import annotations

import glob
import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analyses.checkpoints import open_checkpoints
from analyses.comparison import Change, Survival, compare_all, survival
from analyses.plan import Measure, Part, Plan, Progress, Request, Task
from analyses.reuse import Place, partial_file, place_in, result_file, reusable
from interp.config import CheckpointOptions, DataOptions, NumericOptions, OutputOptions, load_options
from interp.data.controls import parse_controls
from interp.files import clear_leftovers, disk_errors
from interp.model.checkpoints import Checkpoint
from interp.ownership import dead_records, owned
from interp.registry import registered_command
from interp.results.base import Result

__all__ = [
    "Cell",
    "Models",
    "Run",
    "finished",
    "plan_measure",
    "run",
    "run_cell",
    "run_cells",
    "run_measure",
]


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
    comparisons: dict[str, list[Change]] = field(default_factory=dict)
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
    named = given[CheckpointOptions]
    plan = plan_measure(measure, options)
    checkpoints = open_checkpoints(named.ckpt, output.out, named.cache)
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
        out, cache = given[OutputOptions].out, given[CheckpointOptions].cache
        return measure.plan(Request(asked, given[NumericOptions], settings, view, out, cache))

    plan = planned("")
    under = [part.under(name) for name in parse_controls(data.control) for part in planned(name).parts]
    return replace(plan, parts=(*plan.parts, *under))


def run_cells(
    cells: Sequence[Cell], numerics: NumericOptions, output: OutputOptions, progress: Progress | None = None
) -> list[Result]:
    """Return the results of cells, in their order: reused where they are finished, measured where not.

    All finished results are looked at before anything is measured. Cells of one checkpoint that follow each
    other open its model once. Of two processes with the same cell, one measures it; the other waits, and
    takes its result.

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
            with owned(output.out, place(cell.part, cell.checkpoint).name, wait=True):
                _discard(_files(cell.part, cell.checkpoint, place))
    done = [finished(cell, place) for cell in cells]
    partials = [] if output.fresh else _finished_partials(cells, done, place)
    clear_leftovers(output.out, removed=[*dead_records(output.out), *partials])
    _require_fits([cell.checkpoint for cell, result in zip(cells, done, strict=True) if result is None])
    models = Models()
    return [
        run_cell(cell, place, numerics, models, progress) if result is None else result
        for cell, result in zip(cells, done, strict=True)
    ]


def _require_fits(checkpoints: Iterable[Checkpoint]) -> None:
    """Refuse weights that do not belong to their configuration before any are loaded; a GGUF file's when
    it is read."""
    several = {checkpoint.fingerprint: checkpoint for checkpoint in checkpoints if checkpoint.gguf is None}
    if len(several) > 1:
        from interp.model.fit import require_fit

        for checkpoint in several.values():
            require_fit(checkpoint)


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
    """Measure a cell and what it needs, and keep both; the finished result where another process made it.

    Args:
        cell: Which part of which checkpoint.
        place: Where results are kept.
        numerics: How the model runs.
        models: Holds the model that is open.
        progress: Called with a label, work done and work in all.

    Raises:
        InterpError: It cannot be measured or kept, or was interrupted.
    """
    part, checkpoint, file = cell.part, cell.checkpoint, place(cell.part, cell.checkpoint)
    needed = [Cell(need, checkpoint) for need in part.needs]
    needs = {
        each.part.suffix: finished(each, place) or run_cell(each, place, numerics, models, progress)
        for each in needed
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    resume = partial_file(file)
    with disk_errors(file.parent), owned(file.parent, file.name, wait=True):
        if (done := finished(cell, place)) is not None:  # by the process that was waited for
            return done
        task = Task(
            lambda: models.open(checkpoint, numerics, progress),
            f"{checkpoint.name} {part.control}".strip(),
            resume,
            numerics.batch_tokens,
            needs,
            progress,
            lambda suffix: file.with_name(f"{checkpoint.name}.{_beside(part, suffix)}"),
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

    def open(self, checkpoint: Checkpoint, numerics: NumericOptions, progress: Progress | None = None) -> Any:
        """The opened checkpoint."""
        from interp.model.loading import open_checkpoint

        how = {"dtype": numerics.dtype, "device": numerics.device, "attention": numerics.attention}
        key = (checkpoint.fingerprint, *how.values())
        if self._key != key:
            self._key, self._model = (), None  # room for the next
            self._model = open_checkpoint(checkpoint, **how, progress=progress)
            self._key = key
        return self._model


def _beside(part: Part[Any], suffix: str) -> str:
    """What a shared file is called after the checkpoint: controls share none with what is not under them."""
    return f"{part.control}.{suffix}" if part.control else suffix


def _files(part: Part[Any], checkpoint: Checkpoint, place: Place) -> Iterator[Path]:
    """Everything that there may be of a part and of what it needs."""
    file = place(part, checkpoint)
    yield file
    yield from part.leftovers(partial_file(file))
    for suffix in part.shared:
        yield from file.parent.glob(f"{glob.escape(checkpoint.name)}.{_beside(part, suffix)}*")
    for need in part.needs:
        yield from _files(need, checkpoint, place)


def _finished_partials(cells: Sequence[Cell], done: Sequence[Any], place: Place) -> list[Path]:
    """Remove the states of measurements whose results are there: a killed process left them."""
    found = [
        file
        for cell, result in zip(cells, done, strict=True)
        if result is not None
        for file in cell.part.leftovers(partial_file(place(cell.part, cell.checkpoint)))
        if file.exists()
    ]
    _discard(found)
    return found


def _discard(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
