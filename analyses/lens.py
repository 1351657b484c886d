"""`interp lens`: in which language each layer would answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses.plan import Measure, Part, Plan, Request, Task, languages_of, question_of, require_languages
from interp.data.prompts import PromptSet
from interp.data.sources import EMBEDDED, open_prompts
from interp.data.tasks import Task as Questions
from interp.data.tasks import open_task
from interp.errors import ConfigError, nearest
from interp.results.settings.lens import LensSettings, LensView

if TYPE_CHECKING:
    from interp.results.lens import LensResult

__all__ = ["MEASURE"]


def plan(request: Request) -> Plan:
    """Read every layer's answer in every language (logit lens, tuned lens), and compare checkpoints.

    Another --pivot needs no model.

    Example: `interp lens --ckpt organism:final --ckpt organism:grpo --languages en,sw,ja --tuned --figure`
    """
    settings: LensSettings = request.settings
    questions = _questions(request, settings)
    texts = _tuned_on(request, settings, questions)
    stored = {"lens": settings.stored()}
    if settings.tuned:
        stored["tuned-lens"] = settings.stored_tuned(texts.digest)
    prompts = questions.prompts
    parts = tuple(_part(request, questions, texts, suffix, each) for suffix, each in stored.items())
    return Plan(parts, note=f"Prompts: {prompts.name} ({prompts.note})")


def _part(
    request: Request, questions: Questions, texts: PromptSet, suffix: str, stored: dict[str, Any]
) -> Part[LensResult]:
    from interp.measure.lens.lens import measure_lens, subjects_context
    from interp.measure.lens.tuned import fit_tuned_lens
    from interp.results.lens import LensResult

    settings: LensSettings = request.settings
    pivot: str = request.view.pivot

    def measure(task: Task) -> LensResult:
        tuned = None
        if suffix == "tuned-lens":
            tuned = fit_tuned_lens(
                task.model,
                texts,
                positions=settings.tuned_positions,
                steps=settings.tuned_steps,
                batch_tokens=task.batch_tokens,
                progress=task.shown("fit"),
            )
        return measure_lens(
            task.model,
            questions.prompts,
            settings,
            pivot=pivot,
            subjects=questions.subjects,
            tuned=tuned,
            **task.passes(suffix.replace("-", " ")),
        )

    context = {"pivot": pivot, **subjects_context(settings, questions.subjects)}
    return Part(
        LensResult,
        suffix,
        question_of(questions.prompts, request, stored, **context),
        measure,
        ignored=("pivot",),
        adapt=lambda result: result if result.pivot == pivot else result.with_pivot(pivot),
    )


def _questions(request: Request, settings: LensSettings) -> Questions:
    """What is asked.

    Raises:
        ConfigError: There is one language, the pivot is none of them, or data that no task reads was given.
    """
    data, pivot = request.data, request.view.pivot
    lexical = settings.task in ("translation", "repetition", "cloze")
    if lexical and data.data != "cldr":
        raise ConfigError(f"--task {settings.task} asks of the embedded names; leave out --data {data.data}.")
    languages = languages_of(data)
    require_languages(languages, "a lens compares the pivot with at least one other language, so it needs")
    if pivot not in languages:
        raise ConfigError(
            f"The pivot '{pivot}' is not one of the languages "
            f"{' '.join(languages)}.{nearest(pivot, languages)}"
        )
    return open_task(
        settings.task if data.data in EMBEDDED else data.data,
        languages,
        pivot=pivot,
        split=data.split,
        limit=data.limit or None,
        shots=settings.shots,
        prompt_format="native" if data.prompt_format == "auto" else data.prompt_format,
        source=settings.source,
        allow_missing=data.allow_missing,
    )


def _tuned_on(request: Request, settings: LensSettings, questions: Questions) -> PromptSet:
    """What a tuned lens is fitted on."""
    if not settings.tuned_text:
        return questions.prompts
    languages = questions.prompts.languages
    return open_prompts(settings.tuned_text, languages, allow_missing=request.data.allow_missing)


MEASURE = Measure(plan, LensSettings, LensView)
