"""`interp routing`: whether languages reach an answer through the same heads and neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyses.plan import Measure, Part, Plan, Request, Task, facts_of, question_of, require_languages
from interp.data.partners import pair_facts
from interp.data.prompts import context_of, prompts_from_facts
from interp.results.settings.routing import RoutingSettings

if TYPE_CHECKING:
    from interp.results.routing import RoutingResult

__all__ = ["MEASURE"]


def plan(request: Request) -> Plan:
    """Attribute every answer to heads and neurons in each language, and measure how far languages share them.

    Overlap stands beside chance: the overlap of one fact in one language with another fact of its relation in
    the other.

    Example: `interp routing --ckpt organism:final --ckpt organism:grpo --languages en,sw,ja --figure`
    """
    from interp.results.routing import RoutingResult

    facts = facts_of(request.data)
    require_languages(facts.languages, "an overlap is between")
    pair_facts(facts)  # refused before a model is opened

    def measure(task: Task) -> RoutingResult:
        from interp.measure.routing.routing import measure_routing

        return measure_routing(task.model, facts, request.settings, **task.passes("routes"))

    prompts = prompts_from_facts(facts)
    return Plan(
        (Part(RoutingResult, "routing", question_of(prompts, request, **context_of(facts)), measure),)
    )


MEASURE = Measure(plan, RoutingSettings)
