"""`interp align`: whether the languages' vectors of the same prompts meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from analyses.plan import Measure, Part, Plan, Request, Task, prompts_of, question_of, require_languages
from interp.data.prompts import PromptSet
from interp.errors import DataError
from probes.settings import AlignmentSettings

if TYPE_CHECKING:
    from probes.alignment_results import AlignmentResult

__all__ = ["MEASURE"]


def plan(request: Request) -> Plan:
    """Compare languages' vectors of the same prompts at every layer: MEXA, retrieval, linear CKA.

    Example: `interp align --ckpt organism:final --ckpt organism:grpo --languages en,sw,ja --positions last
    --figure`
    """
    from probes.alignment import measure_alignment
    from probes.alignment_results import AlignmentResult
    from probes.collect import collect, parse_layers

    settings: AlignmentSettings = request.settings
    layers = parse_layers(settings.layers)
    prompts = _translations(request)
    stored = f"{settings.positions}.activations"

    def measure(task: Task) -> AlignmentResult:
        activations = collect(
            task.model,
            prompts,
            positions=settings.positions,
            layers=layers,
            batch_tokens=task.batch_tokens,
            file=task.beside(f"{stored}.npy"),
            progress=task.shown("prompts"),
        )
        return measure_alignment(activations, settings, progress=task.shown("layers"))

    return Plan(
        (Part(AlignmentResult, "alignment", question_of(prompts, request), measure, shared=(stored,)),)
    )


def _translations(request: Request) -> PromptSet:
    """The prompts of all languages, without answers.

    Raises:
        InterpError: There is one language, one prompt, or the languages do not have the same prompts.
    """
    prompts = prompts_of(request.data)
    require_languages(prompts.languages, "alignment compares")
    if not prompts.parallel:
        raise DataError(
            f"'{prompts.name}' is not parallel ({prompts.note}); alignment compares translations of the same "
            "lines."
        )
    if prompts.n_items < 2:
        raise DataError(
            f"One prompt in each language ({prompts.note}); retrieval among at least 2 is compared."
        )
    bare = {code: tuple(replace(p, answer="") for p in prompts.prompts[code]) for code in prompts.languages}
    return replace(prompts, prompts=bare)


MEASURE = Measure(plan, AlignmentSettings)
