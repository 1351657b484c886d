"""interp: what does post-training do to the way a language model routes languages?

The public names are imported on first use, so that ``import interp`` loads neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "LANGUAGES": "interp.data.languages",
    "register_language_file": "interp.data.languages",
    "Fact": "interp.data.facts",
    "FactSet": "interp.data.facts",
    "PromptSet": "interp.data.prompts",
    "open_facts": "interp.data.sources",
    "open_prompts": "interp.data.sources",
    "load_facts": "interp.data.sources",
    "load_text": "interp.data.text",
    "resolve_checkpoint": "interp.model.checkpoints",
    "open_checkpoint": "interp.model.loading",
    "Site": "interp.model.sites",
    "reading": "interp.model.hooks",
    "editing": "interp.model.hooks",
    "measure_specialization": "interp.measure.specialization.neurons",
    "measure_heads": "interp.measure.specialization.heads",
    "measure_behavior": "interp.measure.behavior.choice",
    "Protocol": "interp.measure.patching.protocol",
    "measure_patching": "interp.measure.patching.patching",
    "measure_attribution": "interp.measure.patching.attribution",
    "measure_routing": "interp.measure.routing.routing",
    "measure_ablation": "interp.measure.ablation.ablation",
    "measure_lens": "interp.measure.lens.lens",
    "SpecializationResult": "interp.results.specialization",
    "HeadsResult": "interp.results.heads",
    "BehaviorResult": "interp.results.behavior",
    "PatchingResult": "interp.results.patching",
    "AttributionResult": "interp.results.attribution",
    "RoutingResult": "interp.results.routing",
    "AblationResult": "interp.results.ablation",
    "LensResult": "interp.results.lens",
    "load_result": "interp.results",
    "compare": "analyses.comparison",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'interp' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
