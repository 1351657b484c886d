"""The same measurement of several checkpoints in one folder: reuse what is done, measure the rest, compare with the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from analyses.changes import Changes, compare_facts
from analyses.checkpoints import refuse_twins, short_names
from analyses.reuse import partial_file, result_file, reusable
from interp.data.facts import FactSet
from interp.data.sources import open_facts
from interp.errors import ConfigError
from interp.files import require_room
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.results.base import FactResult, Provenance

__all__ = ["Progress", "Series", "chosen_facts", "labeled", "measure_series", "open_checkpoints"]

Kind = TypeVar("Kind", bound=FactResult)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Series(Generic[Kind]):
    """Results of several checkpoints that were asked the same.

    Attributes:
        names: Checkpoints, in the order given.
        suffix: Of the files, such as ``routing``.
        results: One per checkpoint.
        comparisons: Of each later checkpoint with the first, fact by fact.
        files: Everything written or reused.
    """

    names: tuple[str, ...]
    suffix: str
    results: list[Kind] = field(default_factory=list)
    comparisons: list[Changes] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def diagnostics(self) -> list[str]:
        """What makes the results doubtful, in words; empty if nothing does."""
        return [
            f"{name}: {diagnostic}"
            for name, result in zip(self.names, self.results, strict=True)
            for diagnostic in result.diagnostics()
        ]


def open_checkpoints(specs: Sequence[str], out: Path) -> list[Checkpoint]:
    """Resolve the checkpoints of a command, and check that the folder can be written to.

    Raises:
        InterpError: There is none, one cannot be found, or two are the same.
    """
    if not specs:
        raise ConfigError("No checkpoint: give --ckpt once or more (a folder, a hub id, or organism:final).")
    checkpoints = [resolve_checkpoint(spec) for spec in specs]
    refuse_twins(checkpoints)
    require_room(out)
    return checkpoints


def measure_series(
    checkpoints: Sequence[Checkpoint],
    out: Path,
    kind: type[Kind],
    suffix: str,
    asked: Provenance,
    measure: Callable[[Checkpoint, str, Path], Kind],
    *,
    said: Mapping[str, str] | None = None,
    fresh: bool = False,
    leftovers: Callable[[Path], Iterable[Path]] = lambda partial: [partial],
    compared_by: Mapping[str, str] | None = None,
) -> Series[Kind]:
    """Measure every checkpoint that has no finished result in the folder, and compare each with the first.

    All finished results are looked at before anything is measured.

    Args:
        checkpoints: From `open_checkpoints`.
        out: Folder.
        kind: Of the results.
        suffix: Of their files.
        asked: What a finished result must have been asked.
        measure: Measures a checkpoint, given its name and the file for the state of an interrupted run.
        said: See `analyses.reuse.reusable`.
        fresh: Whether to discard what the folder holds for these checkpoints.
        compared_by: Passed to the results' `quantities`, such as a metric.
        leftovers: All files that an interrupted run keeps, given the one of its state.

    Raises:
        ResultError: A finished result answers another question, or is damaged.
    """
    files = [result_file(out, checkpoint, suffix) for checkpoint in checkpoints]
    partial = [partial_file(out, checkpoint, suffix) for checkpoint in checkpoints]
    if fresh:
        _discard([*files, *(left for state in partial for left in leftovers(state))])
    done = [reusable(kind, file, asked, said) for file in files]
    series: Series[Kind] = Series(short_names(checkpoints), suffix)
    for checkpoint, name, file, state, result in zip(
        checkpoints, series.names, files, partial, done, strict=True
    ):
        if result is None:
            result = measure(checkpoint, name, state)
            result.save(file)
            _discard(leftovers(state))
        series.results.append(result)
        series.files.append(file)
    for name, later in zip(series.names[1:], series.results[1:], strict=True):
        series.comparisons.append(
            compare_facts(series.results[0], later, names=(series.names[0], name), **(compared_by or {}))
        )
    return series


def chosen_facts(
    source: str, languages: Sequence[str], *, split: str, limit: int, prompt_format: str, allow_missing: bool
) -> tuple[FactSet, str]:
    """The facts of a source that a command asks, and the words around them (``auto``: as the source asks).

    Raises:
        DataError: There is no such source, or it lacks a language or a split.
    """
    opened = open_facts(source, languages=languages, sample=limit > 0)
    facts = opened.filter(
        splits=None if split == "all" else [split],
        languages=languages,
        limit=limit or None,
        allow_missing=allow_missing,
    )
    return facts, opened.prompt_format if prompt_format == "auto" else prompt_format


def labeled(progress: Progress | None, label: str) -> Callable[[int, int], None] | None:
    """A measure's progress, under a name."""
    return None if progress is None else lambda done, total: progress(label, done, total)


def _discard(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
