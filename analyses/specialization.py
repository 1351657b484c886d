"""`interp specialization`: how language-specialized MLP neurons and attention heads are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses.plan import Measure, Part, Plan, Request, Task, prompts_of, question_of, require_languages
from interp.data.prompts import PromptSet
from interp.errors import ConfigError
from interp.results.settings.specialization import SpecializationSettings

if TYPE_CHECKING:
    from interp.results.specialization import SpecializationResult

__all__ = ["MEASURE", "units_part"]

_FEWEST_BLOCKS = 4  # a half of them needs two, see interp.results.noise


def plan(request: Request) -> Plan:
    """Measure how language-specialized MLP neurons and attention heads are, and compare checkpoints.

    Each checkpoint is read once; results, comparisons and data go to --out, and a rerun continues there.

    Example: `interp specialization --ckpt organism:early --ckpt organism:final --languages en,sw,ja --figure`
    """
    settings: SpecializationSettings = request.settings
    if settings.blocks < _FEWEST_BLOCKS:
        raise ConfigError(f"'blocks' is {settings.blocks}; a noise floor needs at least {_FEWEST_BLOCKS}.")
    prompts = prompts_of(request.data)
    require_languages(prompts.languages, "specialization compares")
    note = f"Prompts: {prompts.name}" + (f" ({prompts.note})" if prompts.note else "")
    return Plan(
        tuple(units_part(request, settings, unit, prompts) for unit in settings.unit_kinds), note=note
    )


def units_part(
    request: Request, settings: SpecializationSettings, unit: str, prompts: PromptSet
) -> Part[Any]:
    """What is measured of one kind of units.

    Raises:
        InterpError: The prompts are too few for it.
    """
    from interp.measure.specialization.heads import measure_heads, require_items
    from interp.measure.specialization.neurons import measure_specialization
    from interp.results.heads import HeadsResult
    from interp.results.specialization import SpecializationResult

    if unit == "heads" and settings.head_items:
        prompts = prompts.sample(settings.head_items)
    prompts.group_blocks(settings.blocks)  # refused here if there are too few groups
    if unit == "heads":
        require_items(prompts.languages, [len(prompts.prompts[code]) for code in prompts.languages])
        return Part(
            HeadsResult,
            unit,
            question_of(prompts, request, settings.stored_heads()),
            lambda task: measure_heads(task.model, prompts, settings, **task.passes(unit)),
        )

    def measure(task: Task) -> SpecializationResult:
        return measure_specialization(task.model, prompts, settings, **task.passes(unit))

    return Part(SpecializationResult, unit, question_of(prompts, request, settings), measure)


MEASURE = Measure(plan, SpecializationSettings)
