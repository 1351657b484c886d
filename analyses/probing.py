"""`interp probe`: what can be read from each layer by a linear probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyses.behavior import choice_part
from analyses.plan import Measure, Part, Plan, Request, Task, facts_of, question_of
from interp.data.facts import FactSet
from interp.data.prompts import prompts_from_facts
from probes.settings import ProbeSettings

if TYPE_CHECKING:
    from probes.results import ProbeResult
    from probes.tasks import Task as Labels

__all__ = ["MEASURE"]


def plan(request: Request) -> Plan:
    """Train linear probes on every layer: language, right answer, or whether the model will be right.

    Facts never cross folds, in any language; each score stands beside that of control labels. Activations are
    collected once, and kept in the folder where they are large.

    Example: `interp probe --ckpt organism:final --ckpt organism:grpo --task answer --languages en,sw,ja
    --figure`
    """
    from probes.collect import collect, parse_layers
    from probes.results import ProbeResult
    from probes.sweep import measure_probes

    settings: ProbeSettings = request.settings
    layers = parse_layers(settings.layers)
    facts = facts_of(request.data)
    _refuse_hopeless(facts, settings)
    prompts = prompts_from_facts(facts, answer=False)
    answers = choice_part(request, facts) if settings.task == "right" else None
    stored = f"{settings.positions}.activations"

    def measure(task: Task) -> ProbeResult:
        subjects = {
            (column, fact.fact_id): fact.wording[code].subject
            for column, code in enumerate(facts.languages)
            for fact in facts
        }
        labels = _labels(facts, settings, task)
        activations = collect(
            task.model,
            prompts,
            positions=settings.positions,
            layers=layers,
            site=settings.site,
            subjects=subjects,
            batch_tokens=task.batch_tokens,
            file=task.beside(f"{stored}.npy"),
            progress=task.shown("prompts"),
        )
        return measure_probes(activations, facts, labels, settings, progress=task.shown("layers"))

    question = question_of(prompts, request, facts_digest=facts.digest)
    needs = () if answers is None else (answers,)
    part = Part(ProbeResult, f"{settings.task}.probe", question, measure, needs=needs, shared=(stored,))
    return Plan((part,))


def _refuse_hopeless(facts: FactSet, settings: ProbeSettings) -> None:
    """Find out without a model whether the facts will do."""
    from probes.linear import grouped_folds
    from probes.sweep import task_folds
    from probes.tasks import answer_task, language_task

    groups = tuple(fact.group for fact in facts)
    if settings.task == "right":  # its labels need the model's answers
        grouped_folds(groups, settings.folds)
    elif settings.task == "language":
        task_folds(language_task(facts), groups, settings.folds)
    else:
        task_folds(answer_task(facts, settings.folds), groups, settings.folds)


def _labels(facts: FactSet, settings: ProbeSettings, task: Task) -> Labels:
    from probes.tasks import answer_task, language_task, right_task

    if settings.task == "language":
        return language_task(facts)
    if settings.task == "answer":
        return answer_task(facts, settings.folds)
    answers = task.results["behavior"]
    assert (answers.fact_ids, answers.languages) == (tuple(f.fact_id for f in facts), facts.languages)
    return right_task(facts, answers.credit(settings.scoring), settings.folds)


MEASURE = Measure(plan, ProbeSettings)
