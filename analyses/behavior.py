"""`interp evaluate`: what checkpoints answer in every language, as multiple choice or by generation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyses.plan import Measure, Part, Plan, Request, Task, facts_of, question_of, source_of
from interp.config import DataOptions
from interp.data.baselines import rule_baselines
from interp.data.demonstrations import prompts_with_demonstrations
from interp.data.facts import FactSet
from interp.data.klar import protocol_prompts
from interp.data.prompts import PromptSet, context_of, prompts_from_facts
from interp.errors import ConfigError
from interp.results.settings.evaluation import EvaluationSettings, EvaluationView

if TYPE_CHECKING:
    from interp.results.behavior import BehaviorResult
    from interp.results.generation import GenerationResult

__all__ = ["MEASURE", "choice_part"]


def plan(request: Request) -> Plan:
    """Ask facts in every language, as multiple choice or by generation: accuracy and consistency.

    Changes from the first checkpoint have intervals, paired fact by fact. An interrupted run continues; a
    rerun reuses what is done, and another --scoring needs no model.

    Example: `interp evaluate --ckpt organism:final --ckpt organism:grpo --split validation --figure`
    """
    from analyses.strata import strata_of
    from interp.results.answers import refuse_letters

    settings, view = _settings(request), request.view
    source = source_of(request.data, template=settings.template, alignment=settings.alignment)
    facts = facts_of(request.data, source)
    if view.cluster == "answer":
        refuse_letters([fact.object_id for fact in facts])
    known = source.filter(languages=facts.languages, allow_missing=True)
    choice = settings.mode == "mcq"
    part: Part[BehaviorResult] | Part[GenerationResult] = (
        choice_part(request, facts) if choice else _generation_part(request, settings, facts, known)
    )
    return Plan(
        (part,),
        view={"scoring": settings.scoring(view.scoring), "cluster": view.cluster},
        note="; ".join(text for text in (source.note, _left_out(request.data, source, facts)) if text),
        context={
            "baselines": rule_baselines(facts, known, offered=choice),
            "strata": strata_of(facts, view.contaminated),
        },
    )


def choice_part(request: Request, facts: FactSet) -> Part[BehaviorResult]:
    """Answers by multiple choice, of the same files for every measure that needs them."""
    from interp.results.behavior import BehaviorResult

    def measure(task: Task) -> BehaviorResult:
        from interp.measure.behavior.choice import measure_behavior

        return measure_behavior(task.model, facts, **task.passes("questions"))

    question = question_of(prompts_from_facts(facts), request, EvaluationSettings(), **context_of(facts))
    return Part(BehaviorResult, "behavior", question, measure)


def _generation_part(
    request: Request, settings: EvaluationSettings, facts: FactSet, known: FactSet
) -> Part[GenerationResult]:
    from interp.results.generation import GenerationResult

    prompts = _generation_prompts(request.data.data, settings, facts, known)

    def measure(task: Task) -> GenerationResult:
        from interp.measure.behavior.generation import measure_generation

        return measure_generation(task.model, facts, prompts, settings, **task.passes("questions"))

    question = question_of(prompts, request, settings, facts_digest=facts.digest)
    return Part(GenerationResult, "generation", question, measure)


def _generation_prompts(data: str, settings: EvaluationSettings, facts: FactSet, known: FactSet) -> PromptSet:
    """Questions after answered ones, of the train split if there is one; or those of a published protocol."""
    if settings.protocol != "interp":
        return protocol_prompts(data.partition(":")[2], facts, settings.protocol)
    has_train = any(fact.split == "train" for fact in known)
    pool = known.split("train") if has_train else known
    return prompts_with_demonstrations(facts, pool=pool, shots=settings.shots or 0)


def _settings(request: Request) -> EvaluationSettings:
    settings: EvaluationSettings = request.settings
    if settings.protocol != "interp" and not request.data.data.startswith("klar:"):
        raise ConfigError(f"--protocol {settings.protocol} is of klar:DIR, not of '{request.data.data}'.")
    return settings.resolved(request.data.data)


def _left_out(data: DataOptions, source: FactSet, facts: FactSet) -> str:
    available = sum(data.split in ("all", fact.split) for fact in source)
    if data.limit or available == len(facts):
        return ""
    lacking = available - len(facts)
    return f"{lacking} of {available} facts lack one of the languages and are left out for every checkpoint"


MEASURE = Measure(plan, EvaluationSettings, view=EvaluationView)
