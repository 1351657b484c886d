"""What a measure asks of every checkpoint, decided before any model is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from interp.config import (
    CheckpointOptions,
    DataOptions,
    NumericOptions,
    OutputOptions,
)
from interp.data.facts import FactSet
from interp.data.languages import register_language_file, resolve_languages
from interp.data.prompts import PromptSet
from interp.data.sources import EMBEDDED, open_facts, open_prompts
from interp.errors import ConfigError
from interp.results.settings import Settings, question

if TYPE_CHECKING:
    from interp.model.loading import LoadedModel
    from interp.results.base import Provenance, Result

    Kind = TypeVar("Kind", bound=Result)
else:
    Kind = TypeVar("Kind")  # results, and numpy with them, are imported when one is measured

__all__ = [
    "Cell",
    "Measure",
    "Part",
    "Plan",
    "Progress",
    "Request",
    "Task",
    "facts_of",
    "prompts_of",
    "question_of",
    "require_languages",
    "source_of",
]

Progress = Callable[[str, int, int], None]
SHARED = (CheckpointOptions, DataOptions, NumericOptions, OutputOptions)
"""Options of every measure, beside its own."""


@dataclass(frozen=True)
class Request:
    """What a user asks of a measure.

    Attributes:
        data: What is read or asked.
        numerics: How the models run.
        settings: Of the measure.
        view: How results are read, compared and drawn: what another choice needs no model for. An empty
            object for none.
        out: Folder of the results.
    """

    data: DataOptions
    numerics: NumericOptions
    settings: Any
    view: Any = None
    out: Path = Path()


@dataclass
class Task:
    """One measurement as it runs: what a part's `Part.measure` is given.

    Attributes:
        open_model: Opens the checkpoint, once however many tasks ask for it.
        checkpoint_name: What the checkpoint is called.
        resume: File for the state of an interrupted run.
        batch_tokens: Padded tokens per pass.
        results: Of the parts that this one needs, by suffix.
        progress: Shows work done under a label.
        beside: A file of this checkpoint that other parts may read too, given its suffix.
    """

    open_model: Callable[[], LoadedModel]
    checkpoint_name: str
    resume: Path
    batch_tokens: int
    results: Mapping[str, Any]
    progress: Progress | None
    beside: Callable[[str], Path]

    @property
    def model(self) -> LoadedModel:
        """The opened checkpoint."""
        return self.open_model()

    def shown(self, what: str) -> Callable[[int, int], None] | None:
        """Progress of this checkpoint under a label."""
        progress, label = self.progress, f"{self.checkpoint_name} {what}"
        return None if progress is None else lambda done, total: progress(label, done, total)

    def passes(self, what: str) -> dict[str, Any]:
        """The keywords that every measure takes of how it runs."""
        return {
            "batch_tokens": self.batch_tokens,
            "resume": self.resume,
            "progress": self.shown(what),
        }


@dataclass(frozen=True, eq=False)
class Part(Generic[Kind]):
    """One kind of result that is measured of every checkpoint.

    Attributes:
        kind: Of the result.
        suffix: Of its files, such as ``routing``.
        question: What a finished result must have answered; its ``run`` may describe the prompts in words.
        measure: Makes the result.
        needs: Parts that are measured before, and whose results the task holds.
        leftovers: All files that an interrupted run keeps, given the one of its state.
        shared: Suffixes of files beside the result that other parts may read too: kept, and discarded with
            ``--fresh``.
        ignored: Settings of the question in which a finished result may differ, since ``adapt`` mends that.
        adapt: Another view of a finished result, without a model.
    """

    kind: type[Kind]
    suffix: str
    question: Provenance
    measure: Callable[[Task], Kind]
    needs: tuple[Part[Any], ...] = ()
    leftovers: Callable[[Path], Iterable[Path]] = lambda resume: [resume]
    shared: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    adapt: Callable[[Kind], Kind] = lambda result: result


@dataclass(frozen=True)
class Plan:
    """Everything that a measure does with each checkpoint.

    Attributes:
        parts: One result each, per checkpoint.
        view: Keywords of the results' `quantities`, comparisons, tables and figures.
        note: What was read, in words.
        context: Further keywords of the tables, such as baselines.
    """

    parts: tuple[Part[Any], ...]
    view: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One part of one checkpoint: what a study schedules.

    Attributes:
        part: What is measured.
        checkpoint: Of which checkpoint (`interp.model.checkpoints.Checkpoint`).
    """

    part: Part[Any]
    checkpoint: Any


@dataclass(frozen=True)
class Measure:
    """A measure as a command and a study know it.

    Attributes:
        plan: From a request to a plan; checks all that is cheap. Its docstring is the command's help.
        settings: Class of its settings.
        view: Class of what needs no model; None for nothing.
        defaults: What replaces the defaults of shared options.
    """

    plan: Callable[[Request], Plan]
    settings: type[Settings]
    view: type[Any] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def defaults_of(self, command: str) -> dict[str, Any]:
        """What replaces the defaults of the shared options of a command of this name."""
        return {"out": Path(f"interp-{command}"), **self.defaults}

    @property
    def options(self) -> tuple[type[Any], ...]:
        """All options of the command."""
        own = (self.settings,) if self.view is None else (self.settings, self.view)
        checkpoints, data, *rest = SHARED
        return (checkpoints, data, *own, *rest)


def question_of(
    prompts: PromptSet, request: Request, settings: Settings | dict[str, Any] | None = None, **context: Any
) -> Provenance:
    """The question that a finished result must have answered.

    Args:
        prompts: What is read.
        request: Its numerics count, and its settings by default.
        settings: In place of the request's.
        context: What comes from data, as `interp.measure.provenance.Measurement.of` is given it.
    """
    from interp.results.base import Provenance

    settings = request.settings if settings is None else settings
    stored = settings.stored() if isinstance(settings, Settings) else settings
    numerics = {"dtype": request.numerics.dtype, "attention": request.numerics.attention}
    return Provenance(
        prompts_digest=prompts.digest,
        settings=question(prompts.languages, numerics, stored, **context),
        run={"prompts_note": f"{prompts.note}; {prompts.n_items} items"},
    )


def source_of(data: DataOptions, **options: Any) -> FactSet:
    """All facts of a source, of which a user asks some.

    Args:
        data: What the user asks for.
        options: Of the source, see `interp.data.sources.open_facts`.

    Raises:
        DataError: There is no such source, or it lacks a language.
        ConfigError: An option does not apply to this kind of source.
    """
    _register(data)
    return open_facts(data.data, languages=data.languages, sample=data.limit > 0, **options)


def languages_of(data: DataOptions) -> tuple[str, ...]:
    """The languages that are named, or those of the facts where the data decide.

    Raises:
        DataError: A language is unknown, or there is no such source.
    """
    source = source_of(data)  # first, since a file of facts may describe its languages
    return resolve_languages(data.languages, source.languages, embedded=data.data in EMBEDDED)


def facts_of(data: DataOptions, source: FactSet | None = None) -> FactSet:
    """The facts that are asked, in the words that they are asked in.

    Args:
        data: What the user asks for.
        source: All facts of it, if they are open already; see `source_of`.

    Raises:
        DataError: There is no such source, or it lacks a language or a split.
    """
    source = source_of(data) if source is None else source
    languages = resolve_languages(data.languages, source.languages, embedded=data.data in EMBEDDED)
    return source.filter(
        splits=None if data.split == "all" else [data.split],
        languages=languages,
        limit=data.limit or None,
        allow_missing=data.allow_missing,
    ).with_prompt_format(data.prompt_format)


def prompts_of(data: DataOptions) -> PromptSet:
    """The prompts that are read: facts with their answers, or running text.

    Raises:
        DataError: There is no such source, or it lacks a language or a split.
    """
    _register(data)
    return open_prompts(
        data.data,
        data.languages,
        split=data.split,
        limit=data.limit or None,
        prompt_format=data.prompt_format,
        allow_missing=data.allow_missing,
    )


def _register(data: DataOptions) -> None:
    """Make the languages known that the user describes."""
    for file in data.language_file:
        register_language_file(file)


def require_languages(languages: Sequence[str], why: str) -> None:
    """Refuse fewer than two languages.

    Raises:
        ConfigError: With the reason.
    """
    if len(languages) < 2:
        raise ConfigError(f"One language ({', '.join(languages)}); {why} at least 2. Add --languages.")
