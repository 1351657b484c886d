"""`interp patch`: which layers, heads, neurons and positions carry a fact, across languages too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.plan import Measure, Part, Plan, Request, Task, facts_of, languages_of, question_of
from interp.data.facts import FactSet
from interp.data.prompts import context_of, prompts_from_facts
from interp.errors import ConfigError
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.results.settings.patching import PatchingSettings, PatchingView

if TYPE_CHECKING:
    from interp.results.attribution import AttributionResult
    from interp.results.patching import PatchingResult

__all__ = ["MEASURE"]


def plan(request: Request) -> Plan:
    """Replace activations with those from another forward pass and report what restores the answer.

    Recovery is 0 where a patch does nothing and 1 where it restores all that the source's run is better by;
    beside it stand the uncorrected values and what an unrelated fact's activations do.

    Example: `interp patch --ckpt organism:final --mode across --languages sw,ja,ru --limit 200 --figure`
    """
    from interp.results.attribution import AttributionResult
    from interp.results.patching import PatchingResult

    settings: PatchingSettings = request.settings
    giver = _giver(settings)
    facts = _facts(request, settings)
    context = {"source_checkpoint": giver.fingerprint if giver else "", **context_of(facts)}
    question = question_of(prompts_from_facts(facts), request, **context)

    def measure(task: Task) -> PatchingResult | AttributionResult:
        from interp.measure.patching.attribution import measure_attribution
        from interp.measure.patching.patching import measure_patching

        source = _opened(giver, task, request) if giver else None
        function: Any = measure_attribution if settings.attribution else measure_patching
        result: PatchingResult | AttributionResult = function(
            task.model, facts, settings, source=source, **task.passes("runs")
        )
        return result

    place = f"{settings.mode}.{settings.site}{'.onward' * settings.onward}"
    view = {} if settings.attribution else vars(request.view)
    kind: Any = AttributionResult if settings.attribution else PatchingResult
    suffix = f"{place}.{kind.kind}"
    return Plan((Part(kind, suffix, question, measure, leftovers=_leftovers),), view=view)


def _giver(settings: PatchingSettings) -> Checkpoint | None:
    """The checkpoint that gives activations, if another one does."""
    if (settings.mode == "checkpoints") != bool(settings.source_ckpt):
        raise ConfigError(
            "--source-ckpt and --mode checkpoints belong together: the one says where activations come "
            "from, the other that they come from another checkpoint."
        )
    return resolve_checkpoint(settings.source_ckpt) if settings.source_ckpt else None


def _facts(request: Request, settings: PatchingSettings) -> FactSet:
    """The facts in the source languages and in those that are patched."""
    from interp.measure.patching.protocol import Protocol

    sources = settings.source_languages
    targets = [code for code in languages_of(request.data) if code not in sources]
    facts = facts_of(replace(request.data, languages=",".join([*sources, *targets])))
    Protocol.of(settings, facts)  # refused before a model is opened
    return facts


def _opened(giver: Checkpoint, task: Task, request: Request) -> Any:
    from interp.model.loading import open_checkpoint

    if task.model.checkpoint is not None and task.model.checkpoint.fingerprint == giver.fingerprint:
        raise ConfigError(f"--source-ckpt '{giver.spec}' is patched into itself; give another one.")
    numerics = request.numerics
    return open_checkpoint(giver, dtype=numerics.dtype, device=numerics.device, attention=numerics.attention)


def _leftovers(resume: Path) -> Iterable[Path]:
    from interp.measure.patching.protocol import partial_files

    return partial_files(resume)


MEASURE = Measure(plan, PatchingSettings, PatchingView)
