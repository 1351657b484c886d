"""interp: what does post-training do to the way a language model routes languages?

The public names are imported on first use, so that ``import interp`` loads neither torch nor transformers.
"""

from __future__ import annotations

from typing import Any

from interp.registry import MEASURES, load

__version__ = "0.1.0"

_PUBLIC = {
    "LANGUAGES": "interp.data.languages",
    "register_language_file": "interp.data.languages",
    "Fact": "interp.data.facts",
    "FactSet": "interp.data.facts",
    "PromptSet": "interp.data.prompts",
    "load_text": "interp.data.text",
    "load_facts": "interp.data.sources",
    "open_facts": "interp.data.sources",
    "open_prompts": "interp.data.sources",
    "resolve_checkpoint": "interp.model.checkpoints",
    "open_checkpoint": "interp.model.loading",
    "Site": "interp.model.sites",
    "reading": "interp.model.hooks",
    "editing": "interp.model.hooks",
    "to_transformer_lens": "interp.model.interop",
    "to_nnsight": "interp.model.interop",
    "Protocol": "interp.measure.patching.protocol",
    "collect": "probes.collect",
    "load_result": "interp.results",
    "controlled": "interp.data.controls",
    "compare": "analyses.comparison",
    "survival": "analyses.comparison",
    "plot": "figures",
    "run": "analyses.runner",
    **{name: module for measure in MEASURES for name, module in measure.public.items()},
    **{
        path.rpartition(".")[2]: path.rpartition(".")[0]
        for measure in MEASURES
        for path in measure.kinds.values()
    },
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'interp' has no attribute '{name}'")
    return load(f"{_PUBLIC[name]}.{name}")


def __dir__() -> list[str]:
    return sorted(__all__)
