"""Where each measure registers, once: its command, its results, and what of it is public.

For a measure ``x`` the modules follow from its name: ``analyses.x`` plans it (``MEASURE``), ``figures.x``
draws it (``drawings``, ``tables``). Names only, so that nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from interp.errors import ConfigError, nearest

__all__ = ["MEASURES", "Measure", "load", "measure_of_kind", "registered_command"]


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: Of the modules ``analyses.<name>`` and ``figures.<name>``.
        command: Of the command line.
        kinds: Kind of a saved result, as in its file, to its class.
        public: What of it stands directly under ``interp``: name to module.
    """

    name: str
    command: str
    kinds: dict[str, str]
    public: dict[str, str]


MEASURES = (
    Measure(
        "specialization",
        "specialization",
        {
            "specialization": "interp.results.specialization.SpecializationResult",
            "heads": "interp.results.heads.HeadsResult",
        },
        {
            "SpecializationSettings": "interp.results.settings.specialization",
            "measure_specialization": "interp.measure.specialization.neurons",
            "measure_heads": "interp.measure.specialization.heads",
        },
    ),
    Measure(
        "behavior",
        "evaluate",
        {
            "behavior": "interp.results.behavior.BehaviorResult",
            "generation": "interp.results.generation.GenerationResult",
        },
        {
            "EvaluationSettings": "interp.results.settings.evaluation",
            "measure_behavior": "interp.measure.behavior.choice",
            "measure_generation": "interp.measure.behavior.generation",
        },
    ),
    Measure(
        "patching",
        "patch",
        {
            "patching": "interp.results.patching.PatchingResult",
            "attribution": "interp.results.attribution.AttributionResult",
        },
        {
            "PatchingSettings": "interp.results.settings.patching",
            "measure_patching": "interp.measure.patching.patching",
            "measure_attribution": "interp.measure.patching.attribution",
        },
    ),
    Measure(
        "routing",
        "routing",
        {"routing": "interp.results.routing.RoutingResult"},
        {
            "RoutingSettings": "interp.results.settings.routing",
            "measure_routing": "interp.measure.routing.routing",
        },
    ),
    Measure(
        "experts",
        "experts",
        {"experts": "interp.results.experts.ExpertsResult"},
        {
            "ExpertsSettings": "interp.results.settings.experts",
            "measure_experts": "interp.measure.experts.experts",
        },
    ),
    Measure(
        "ablation",
        "ablate",
        {"ablation": "interp.results.ablation.AblationResult"},
        {
            "AblationSettings": "interp.results.settings.ablation",
            "measure_ablation": "interp.measure.ablation.ablation",
        },
    ),
    Measure(
        "lens",
        "lens",
        {"lens": "interp.results.lens.LensResult"},
        {
            "LensSettings": "interp.results.settings.lens",
            "measure_lens": "interp.measure.lens.lens",
            "fit_tuned_lens": "interp.measure.lens.tuned",
        },
    ),
    Measure(
        "probing",
        "probe",
        {"probe": "probes.results.ProbeResult"},
        {"ProbeSettings": "probes.settings", "measure_probes": "probes.sweep"},
    ),
    Measure(
        "alignment",
        "align",
        {"alignment": "probes.alignment_results.AlignmentResult"},
        {"AlignmentSettings": "probes.settings", "measure_alignment": "probes.alignment"},
    ),
)


def measure_of_kind(kind: str) -> Measure | None:
    """The measure whose results are of a kind; None where there is none."""
    return next((measure for measure in MEASURES if kind in measure.kinds), None)


def registered_command(command: str) -> Measure:
    """The measure of a command.

    Raises:
        ConfigError: There is none; names the nearest.
    """
    commands = {measure.command: measure for measure in MEASURES}
    if command not in commands:
        raise ConfigError(
            f"No measure '{command}'.{nearest(command, commands)} Choose from: {', '.join(commands)}."
        )
    return commands[command]


def load(dotted: str) -> Any:
    """What a dotted name ``module.name`` stands for, imported now."""
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)
