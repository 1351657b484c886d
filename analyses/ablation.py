"""`interp ablate`: what each language loses without the units most specialized in one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from analyses.plan import (
    Measure,
    Part,
    Plan,
    Request,
    Task,
    facts_of,
    prompts_of,
    question_of,
    require_languages,
)
from analyses.specialization import units_part
from interp.data.prompts import context_of, prompts_from_facts
from interp.errors import ConfigError
from interp.results.settings.ablation import AblationSettings
from interp.results.settings.specialization import SpecializationSettings

if TYPE_CHECKING:
    from interp.results.ablation import AblationResult

__all__ = ["MEASURE"]


def plan(request: Request) -> Plan:
    """Remove the neurons or heads most specialized in each language, and ask the facts in all of them.

    Units are selected on one half of the facts and removed while the other is asked. The harm stands beside
    that of as many random units of the same layers. The selection is what `interp specialization` measures,
    kept in the folder and reused.

    Example: `interp ablate --ckpt organism:final --units neurons --languages en,sw,ja --figure`
    """
    from interp.results.ablation import AblationResult

    settings: AblationSettings = request.settings
    if settings.rule == "important" and settings.units != "heads":
        raise ConfigError("--rule important is of heads; the importance of neurons is not measured.")
    facts = facts_of(request.data)
    require_languages(facts.languages, "a language's own units are told from another's among")
    read = prompts_of(
        replace(
            request.data,
            languages=",".join(facts.languages),
            limit=settings.read,
            prompt_format=facts.prompt_format,
        )
    )
    selecting = SpecializationSettings(units=settings.units, head_items=0, min_tokens=settings.min_tokens)
    selection = units_part(request, selecting, settings.units, read)
    context = {"selected_on": read.digest, "blocks": selecting.blocks, **context_of(facts)}

    def measure(task: Task) -> AblationResult:
        from interp.measure.ablation.ablation import measure_ablation

        selected, label = task.results[selection.suffix], f"without {settings.units}"
        return measure_ablation(task.model, facts, selected, read, settings, **task.passes(label))

    question = question_of(prompts_from_facts(facts), request, **context)
    part = Part(AblationResult, f"{settings.units}.ablation", question, measure, needs=(selection,))
    return Plan((part,))


MEASURE = Measure(plan, AblationSettings, defaults={"limit": 100})
