"""Measures by keywords: settings and prompt format side by side, as a test varies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from interp.data.facts import FactSet
from interp.measure.ablation import ablation
from interp.measure.behavior import choice
from interp.measure.lens import lens
from interp.measure.patching import attribution, patching, protocol
from interp.measure.routing import routing
from interp.measure.specialization import heads, neurons
from interp.results.ablation import AblationSettings
from interp.results.settings.lens import LensSettings
from interp.results.settings.patching import UNIT_OF_SITE, PatchingSettings
from interp.results.settings.routing import RoutingSettings
from interp.results.specialization import SpecializationSettings
from probes import sweep
from probes.settings import ProbeSettings

__all__ = [
    "Protocol",
    "find_pairs",
    "measure_ablation",
    "measure_attribution",
    "measure_behavior",
    "measure_heads",
    "measure_lens",
    "measure_patching",
    "measure_probes",
    "measure_routing",
    "measure_specialization",
]

_SITE_OF_UNIT = {unit: site for site, unit in UNIT_OF_SITE.items()}


@dataclass(frozen=True)
class Protocol:
    """Which languages are patched from which, and the prompt format; see `PatchingSettings`."""

    mode: str
    targets: tuple[str, ...]
    sources: tuple[str, ...] = ()
    positions: tuple[str, ...] = ("subject_last", "last")
    prompt_format: str = "native"

    def settings(self, **options: Any) -> PatchingSettings:
        return PatchingSettings(
            mode=self.mode, sources=",".join(self.sources), positions=",".join(self.positions), **options
        )

    def facts(self, facts: FactSet) -> FactSet:
        return facts.filter(languages=(*self.sources, *self.targets)).with_prompt_format(self.prompt_format)


def measure_specialization(loaded: Any, prompts: Any, *, n_blocks: int = 8, **options: Any) -> Any:
    settings, passes = _parted(SpecializationSettings, options)
    return neurons.measure_specialization(
        loaded, prompts, SpecializationSettings(blocks=n_blocks, **settings), **passes
    )


def measure_heads(loaded: Any, prompts: Any, *, n_blocks: int = 8, **options: Any) -> Any:
    settings, passes = _parted(SpecializationSettings, options)
    return heads.measure_heads(loaded, prompts, SpecializationSettings(blocks=n_blocks, **settings), **passes)


def measure_behavior(loaded: Any, facts: FactSet, *, prompt_format: str = "native", **passes: Any) -> Any:
    return choice.measure_behavior(loaded, facts.with_prompt_format(prompt_format), **passes)


def measure_routing(
    loaded: Any,
    facts: FactSet,
    *,
    units: Sequence[str] = ("heads", "neurons"),
    prompt_format: str = "native",
    **options: Any,
) -> Any:
    settings, passes = _parted(RoutingSettings, options)
    chosen = RoutingSettings(units="all" if len(units) > 1 else units[0], **settings)
    return routing.measure_routing(loaded, facts.with_prompt_format(prompt_format), chosen, **passes)


def measure_ablation(
    loaded: Any, facts: FactSet, selection: Any, read: Any, *, prompt_format: str = "native", **options: Any
) -> Any:
    settings, passes = _parted(AblationSettings, options)
    chosen = AblationSettings(units=f"{selection.unit}s", **settings)
    return ablation.measure_ablation(
        loaded, facts.with_prompt_format(prompt_format), selection, read, chosen, **passes
    )


def measure_patching(
    loaded: Any,
    facts: FactSet,
    asked: Protocol,
    *,
    site: str = "resid_pre",
    units: Sequence[Sequence[int]] = (),
    onward: bool = False,
    **passes: Any,
) -> Any:
    sets = ";".join(",".join(map(str, each)) for each in units)
    settings = asked.settings(site=site, units=sets, onward=onward)
    return patching.measure_patching(loaded, asked.facts(facts), settings, **passes)


def measure_attribution(
    loaded: Any, facts: FactSet, asked: Protocol, *, unit: str = "heads", verify: int = 20, **passes: Any
) -> Any:
    settings = asked.settings(site=_SITE_OF_UNIT[unit], attribution=True, verify=verify)
    return attribution.measure_attribution(loaded, asked.facts(facts), settings, **passes)


def find_pairs(loaded: Any, facts: FactSet, asked: Protocol, *rest: Any) -> Any:
    chosen = asked.facts(facts)
    return protocol.find_pairs(loaded, chosen, protocol.Protocol.of(asked.settings(), chosen), *rest)


def measure_lens(
    loaded: Any, prompts: Any, *, pivot: str, position: str = "last", tokens: str = "prefix", **passes: Any
) -> Any:
    settings = LensSettings(positions=position, tokens=tokens)
    return lens.measure_lens(loaded, prompts, settings, pivot=pivot, **passes)


def measure_probes(
    activations: Any, facts: FactSet, task: Any, *, progress: Any = None, **options: Any
) -> Any:
    return sweep.measure_probes(activations, facts, task, ProbeSettings(**options), progress=progress)


def _parted(kind: type, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options that are settings, and the others."""
    names = {field.name for field in fields(kind)}
    return (
        {name: value for name, value in options.items() if name in names},
        {name: value for name, value in options.items() if name not in names},
    )
