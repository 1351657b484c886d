"""What a study asked and what is done of it, as its folder says: all that its report needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from analyses.study.file import ClaimOptions
from interp.errors import ResultError
from interp.files import write_atomically

__all__ = ["RECORD", "STATES", "CellRecord", "MeasureRecord", "MemberRecord", "Record", "read_record"]

RECORD = "study.json"
STATES = ("done", "interrupted", "failed", "waiting", "untrained")
"""What a cell may be; untrained: its checkpoint is not there yet."""
_SCHEMA = 1


@dataclass(frozen=True)
class MemberRecord:
    """A checkpoint, or the seeds of a method.

    Attributes:
        name: In tables and sentences.
        checkpoints: Names, one per seed.
        training: Method, parent and options, if the study trained it.
    """

    name: str
    checkpoints: tuple[str, ...]
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasureRecord:
    """One measure.

    Attributes:
        name: In the study file.
        command: Of `interp`.
        options: As given.
        view: How its results are read.
        parts: Suffixes of its results.
    """

    name: str
    command: str
    options: Mapping[str, Any]
    view: Mapping[str, Any]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class CellRecord:
    """One part of one measure of one checkpoint.

    Attributes:
        member: What the checkpoint is a seed of.
        checkpoint: Its name.
        fingerprint: SHA-256 of its weights, configuration and tokenizer; empty where it is not trained yet.
        measure: Name of the measure.
        part: Suffix of the result.
        state: One of `STATES`.
        file: Of the result, relative to the study's folder.
        reason: Why it failed.
        seconds: That measuring it took, where that is known.
    """

    member: str
    checkpoint: str
    fingerprint: str
    measure: str
    part: str
    state: str
    file: str
    reason: str = ""
    seconds: float | None = None

    @property
    def label(self) -> str:
        """Checkpoint, measure and part."""
        part = "" if self.part == self.measure else f" ({self.part})"
        return f"{self.checkpoint}: {self.measure}{part}"


@dataclass(frozen=True)
class Record:
    """A study as its folder says.

    Attributes:
        name: Of the study.
        version: Of `interp` that ran it.
        members: The first is what the others are compared with.
        measures: In the order of the file.
        cells: Those of a checkpoint together.
        claims: How changes become sentences.
    """

    name: str
    version: str
    members: tuple[MemberRecord, ...]
    measures: tuple[MeasureRecord, ...]
    cells: tuple[CellRecord, ...]
    claims: ClaimOptions

    def counts(self) -> dict[str, int]:
        """Cells by state."""
        states = [cell.state for cell in self.cells]
        return {state: states.count(state) for state in STATES if state in states}

    def of(self, measure: str, part: str, member: str = "") -> list[CellRecord]:
        """The cells of one part of one measure, of all members or of one."""
        return [
            cell
            for cell in self.cells
            if (cell.measure, cell.part) == (measure, part) and member in ("", cell.member)
        ]

    def save(self, out: Path) -> Path:
        """Write it to the study's folder, whole or not at all."""
        text = json.dumps({"schema": _SCHEMA, **asdict(self)}, indent=1, ensure_ascii=False, default=str)
        write_atomically(out / RECORD, lambda stream: stream.write(text.encode()))
        return out / RECORD


def read_record(out: Path) -> Record:
    """Read what a study's folder says.

    Raises:
        ResultError: There is no study in the folder, or its record is damaged.
    """
    file = out / RECORD
    if not file.is_file():
        raise ResultError(
            f"No study in {out}: {file} is expected. Run it with: interp study run FILE --out {out}"
        )
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        if saved["schema"] != _SCHEMA:
            raise ResultError(f"{file} has schema {saved['schema']}; this version reads {_SCHEMA}.")
        for cell in saved["cells"]:
            if not (out / cell["file"]).resolve().is_relative_to(out.resolve()):
                raise ValueError(f"a cell's file is {cell['file']!r}, outside the study's folder")
        return Record(
            saved["name"],
            saved["version"],
            tuple(_made(MemberRecord, each, "checkpoints") for each in saved["members"]),
            tuple(_made(MeasureRecord, each, "parts") for each in saved["measures"]),
            tuple(CellRecord(**each) for each in saved["cells"]),
            ClaimOptions(**saved["claims"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{file} is damaged ({error}); run the study again: done cells are kept.") from None


def _made(kind: Any, saved: Mapping[str, Any], names: str) -> Any:
    """A record of a member or measure, whose names are a tuple again."""
    return kind(**{**saved, names: tuple(saved[names])})
