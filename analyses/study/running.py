"""Run a study: train what is to be trained, measure every cell that is not done, and go on after failures."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from analyses.plan import Progress
from analyses.runner import Models, finished, run_cell
from analyses.study.cells import StudyCell, StudyPlan, failure_file, place_of, plan_study, time_file
from analyses.study.file import Member, Study
from analyses.study.record import Record
from interp.config.base import load_config
from interp.errors import InterpError, Interrupted, NoSpaceError
from interp.files import require_room, write_atomically

__all__ = ["by_checkpoint", "run_cells_of", "run_study", "train_members"]


def run_study(
    study: Study,
    progress: Progress | None = None,
    *,
    retry: bool = False,
    measure: Callable[[StudyPlan, Progress | None, bool], None] | None = None,
) -> Record:
    """Train, measure, and return what is done, which the study's folder then says too.

    A cell that fails is written down with its reason, and the others go on; it is tried again only if asked.

    Args:
        study: What to run.
        progress: Called with a label, work done and work in all.
        retry: Try cells again that failed before.
        measure: Runs the cells that are not done, such as `analyses.study.workers.on_workers` gives; by
            default one after the other in this process.

    Raises:
        InterpError: The plan is not usable, a training failed, or the disk is full.
        Interrupted: Ctrl-C or SIGTERM; what is done is kept.
    """
    require_room(study.out)
    plan_study(study)  # all that is cheap is refused before a training
    train_members(study, progress)
    plan = plan_study(study)
    try:
        if measure is None:
            run_cells_of(plan, plan.cells, progress, retry=retry)
        else:
            measure(plan, progress, retry)
    finally:
        record = plan.record()
        record.save(study.out)
    return record


def train_members(study: Study, progress: Progress | None = None) -> None:
    """Train every seed of every member that is to be trained and is not.

    Raises:
        InterpError: As of the training method.
    """
    for member in study.members:
        for seed, spec in zip(member.seeds, member.specs, strict=False):
            final = Path(spec.partition("=")[2])
            if not final.exists():
                _train(study, member, seed, final.parent, progress)


def run_cells_of(
    plan: StudyPlan, cells: Sequence[StudyCell], progress: Progress | None = None, *, retry: bool = False
) -> None:
    """Measure some cells of a study, in their order; done ones are skipped, and failures are written down.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; what is done is kept.
        NoSpaceError: The disk is full.
    """
    models = Models()
    for number, cell in enumerate(cells):
        if progress:
            progress("cells", number, len(cells))
        if cell.state == "failed" and not retry:
            continue
        _run(cell, plan, models, progress)
    if progress and cells:
        progress("cells", len(cells), len(cells))


def _run(cell: StudyCell, plan: StudyPlan, models: Models, progress: Progress | None) -> None:
    assert cell.file is not None  # trained before
    place, numerics = place_of(plan.study), cell.planned.numerics
    cell.file.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    try:
        if finished(cell.cell, place) is not None:
            return
        run_cell(cell.cell, place, numerics, models, progress)
    except (Interrupted, NoSpaceError):
        raise
    except InterpError as error:
        _note_failure(cell, str(error))
    except Exception as error:
        _note_failure(cell, f"{type(error).__name__}: {error}", traceback.format_exc())
    else:
        failure_file(cell.file).unlink(missing_ok=True)
        _note_time(cell.file, time.time() - started)


def _note_failure(cell: StudyCell, reason: str, trace: str = "") -> None:
    assert cell.file is not None
    known = {"checkpoint": cell.name, "part": cell.part.name, "reason": reason, "traceback": trace}
    text = json.dumps(known, ensure_ascii=False, indent=1)
    write_atomically(failure_file(cell.file), lambda stream: stream.write(text.encode()))


def _note_time(file: Path, seconds: float) -> None:
    text = json.dumps({"seconds": round(seconds, 2)})
    write_atomically(time_file(file), lambda stream: stream.write(text.encode()))


def _train(study: Study, member: Member, seed: int, out: Path, progress: Progress | None) -> None:
    from training.methods import METHODS

    training = member.training
    assert training is not None
    method = METHODS[training.method]
    parent = next(each for each in study.members if each.name == training.parent)
    spec = _parent_spec(parent, seed)
    given = {**training.options, "model": spec, "out": out, "seed": seed}
    method.train(load_config(method.config, None, given), progress)


def _parent_spec(parent: Member, seed: int) -> str:
    """The parent of the same seed where it is trained too, else its first checkpoint."""
    index = parent.seeds.index(seed) if seed in parent.seeds else 0
    return parent.specs[index].partition("=")[2]


def by_checkpoint(cells: Iterable[StudyCell]) -> dict[str, list[StudyCell]]:
    """Cells by the name of their checkpoint, in their order."""
    groups: dict[str, list[StudyCell]] = {}
    for cell in cells:
        groups.setdefault(cell.name, []).append(cell)
    return groups
