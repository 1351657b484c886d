"""`interp experts`: whom the routers of a mixture of experts send where, in each language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyses.plan import Measure, Part, Plan, Request, Task, prompts_of, question_of, require_languages
from interp.errors import ConfigError
from interp.results.settings.experts import ExpertsSettings

if TYPE_CHECKING:
    from interp.results.experts import ExpertsResult

__all__ = ["MEASURE"]

_FEWEST_BLOCKS = 4  # a half of them needs two, see interp.results.noise


def plan(request: Request) -> Plan:
    """Measure whether a mixture of experts sends languages to different experts, and compare checkpoints.

    Per layer: how far the router's mean distributions of languages are apart, and what the chosen expert
    tells of the language. Each checkpoint is read once; a rerun continues.

    Example: `interp experts --ckpt allenai/OLMoE-1B-7B-0924 --languages en,sw,ja --figure`
    """
    from interp.measure.experts.experts import measure_experts
    from interp.results.experts import ExpertsResult

    settings: ExpertsSettings = request.settings
    if settings.blocks < _FEWEST_BLOCKS:
        raise ConfigError(f"'blocks' is {settings.blocks}; a noise floor needs at least {_FEWEST_BLOCKS}.")
    prompts = prompts_of(request.data)
    require_languages(prompts.languages, "experts compares")
    prompts.group_blocks(settings.blocks)  # refused here if there are too few groups

    def measure(task: Task) -> ExpertsResult:
        return measure_experts(task.model, prompts, settings, **task.passes("experts"))

    note = f"Prompts: {prompts.name}" + (f" ({prompts.note})" if prompts.note else "")
    question = question_of(prompts, request, settings)
    return Plan((Part(ExpertsResult, "experts", question, measure),), note=note)


MEASURE = Measure(plan, ExpertsSettings)
