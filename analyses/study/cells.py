"""The cells of a study: every part of every measure of every checkpoint, and whether each is done."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyses.checkpoints import refuse_twins
from analyses.plan import Measure, Part, Plan
from analyses.reuse import Place, partial_file
from analyses.runner import Cell, plan_measure
from analyses.study.file import Entry, Member, Study
from analyses.study.record import CellRecord, MeasureRecord, MemberRecord, Record
from interp import __version__
from interp.config import NumericOptions, load_options
from interp.errors import ConfigError, InterpError
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.registry import registered_command

__all__ = ["Planned", "StudyCell", "StudyPlan", "failure_file", "place_of", "plan_study", "time_file"]


@dataclass(frozen=True)
class Planned:
    """One measure of the study, decided.

    Attributes:
        entry: What the file says.
        plan: What is measured of each checkpoint.
        numerics: How models run.
    """

    entry: Entry
    plan: Plan
    numerics: NumericOptions


@dataclass(frozen=True)
class StudyCell:
    """One part of one measure of one checkpoint.

    Attributes:
        planned: The measure.
        member: What the checkpoint is one seed of.
        name: Of the checkpoint.
        part: What is measured.
        checkpoint: None where it is not trained yet.
        file: Of the finished result; None where the checkpoint is not trained yet.
    """

    planned: Planned
    member: Member
    name: str
    part: Part[Any]
    checkpoint: Checkpoint | None
    file: Path | None

    @property
    def cell(self) -> Cell:
        """What the runner measures."""
        assert self.checkpoint is not None  # trained before
        return Cell(self.part, self.checkpoint)

    @property
    def state(self) -> str:
        """One of `analyses.study.record.STATES`."""
        if self.file is None:
            return "untrained"
        if self.file.exists():
            return "done"
        if failure_file(self.file).exists():
            return "failed"
        return "interrupted" if partial_file(self.file).exists() else "waiting"

    def record(self, out: Path) -> CellRecord:
        """What is done of it."""
        known: dict[str, Any] = {
            "member": self.member.name,
            "checkpoint": self.name,
            "measure": self.planned.entry.name,
            "part": self.part.name,
            "state": self.state,
        }
        if self.checkpoint is None or self.file is None:
            return CellRecord(fingerprint="", file="", **known)
        reason = _noted(failure_file(self.file), "reason") if self.state == "failed" else ""
        return CellRecord(
            fingerprint=self.checkpoint.fingerprint,
            file=self.file.relative_to(out).as_posix(),
            reason=reason or "",
            seconds=_noted(time_file(self.file), "seconds"),
            **known,
        )


@dataclass(frozen=True)
class StudyPlan:
    """A study, decided: nothing is left to be found out but what the models do.

    Attributes:
        study: What was asked.
        planned: Its measures.
        cells: Those of a checkpoint together, so that each model is opened once.
    """

    study: Study
    planned: tuple[Planned, ...]
    cells: tuple[StudyCell, ...]

    def record(self) -> Record:
        """What is asked and done, without a model or a plan to read it."""
        study = self.study
        members = tuple(
            MemberRecord(
                member.name,
                tuple(spec.partition("=")[0] for spec in member.specs),
                {} if member.training is None else vars(member.training),
            )
            for member in study.members
        )
        measures = tuple(
            MeasureRecord(
                each.entry.name,
                each.entry.command,
                each.entry.options,
                each.plan.view,
                tuple(part.name for part in each.plan.parts),
            )
            for each in self.planned
        )
        cells = tuple(cell.record(study.out) for cell in self.cells)
        return Record(study.name, __version__, members, measures, cells, study.claims)


def plan_study(study: Study) -> StudyPlan:
    """Decide all cells of a study, opening facts and checkpoints' headers but no model.

    Raises:
        InterpError: Something that the file names cannot be used; names the section.
    """
    planned = tuple(_planned(entry, study) for entry in study.entries)
    known = [(member, name, checkpoint) for member in study.members for name, checkpoint in _resolved(member)]
    refuse_twins([checkpoint for _, _, checkpoint in known if checkpoint is not None])
    cells = [
        _cell(study, each, member, name, part, checkpoint)
        for member, name, checkpoint in known
        for each in planned
        for part in each.plan.parts
    ]
    return StudyPlan(study, planned, tuple(cells))


def place_of(study: Study) -> Place:
    """Where the result of a part is kept: by digests of weights, prompts, settings and version."""

    def place(part: Part[Any], checkpoint: Checkpoint) -> Path:
        folder = f"{checkpoint.name}-{checkpoint.fingerprint[:12]}"
        return study.out / "cells" / folder / _digest(part) / f"{checkpoint.name}.{part.name}.npz"

    return place


def failure_file(result: Path) -> Path:
    """Where it is written why a result could not be made."""
    return result.with_suffix(".failed")


def time_file(result: Path) -> Path:
    """Where it is written how long a result took."""
    return result.with_suffix(".time")


def _noted(file: Path, key: str) -> Any:
    """What a small file beside a result says; None where there is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _planned(entry: Entry, study: Study) -> Planned:
    registered = registered_command(entry.command)
    measure: Measure = importlib.import_module(f"analyses.{registered.name}").MEASURE
    defaults = {**measure.defaults_of(entry.command), "out": study.out}
    try:
        options = load_options(measure.options, None, entry.options, defaults)
        numerics = next(each for each in options if isinstance(each, NumericOptions))
        return Planned(entry, plan_measure(measure, options), numerics)
    except InterpError as error:
        where = f"{study.file}, [measures.{entry.name}]"
        raise type(error)(f"{where}: {str(error).removeprefix('flags: ')}") from None


def _resolved(member: Member) -> Sequence[tuple[str, Checkpoint | None]]:
    """Name and checkpoint of each seed; None where a training is to make it."""
    found: list[tuple[str, Checkpoint | None]] = []
    for spec in member.specs:
        name, _, path = spec.partition("=")
        waits = member.training is not None and not Path(path).exists()
        found.append((name, None if waits else resolve_checkpoint(spec)))
    names = [name.casefold() for name, _ in found]
    if len(set(names)) < len(names):
        raise ConfigError(f"Two checkpoints of '{member.name}' have one name.")
    return found


def _cell(
    study: Study, planned: Planned, member: Member, name: str, part: Part[Any], checkpoint: Checkpoint | None
) -> StudyCell:
    file = None if checkpoint is None else place_of(study)(part, checkpoint)
    return StudyCell(planned, member, name, part, checkpoint, file)


def _digest(part: Part[Any]) -> str:
    question = part.question
    asked = [__version__, part.kind.kind, part.name, question.prompts_digest, question.settings]
    text = json.dumps(asked, sort_keys=True, default=str, ensure_ascii=False)
    return f"{part.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
