"""What is kept and how it is defined: frozen results, pure functions of counts (numpy only)."""

from __future__ import annotations

import importlib
from pathlib import Path

from interp.errors import ResultError
from interp.results.base import Result
from interp.results.heads import HeadsResult
from interp.results.migration import current
from interp.results.specialization import SpecializationResult
from interp.results.storage import read_archive
from interp.results.units import UnitResult

__all__ = ["HeadsResult", "Result", "SpecializationResult", "UnitResult", "load_result"]

_KINDS = {
    "specialization": "interp.results.specialization.SpecializationResult",
    "heads": "interp.results.heads.HeadsResult",
    "behavior": "interp.results.behavior.BehaviorResult",
    "generation": "interp.results.generation.GenerationResult",
    "lens": "interp.results.lens.LensResult",
    "patching": "interp.results.patching.PatchingResult",
    "attribution": "interp.results.attribution.AttributionResult",
    "routing": "interp.results.routing.RoutingResult",
    "ablation": "interp.results.ablation.AblationResult",
    "probe": "probes.results.ProbeResult",
    "alignment": "probes.alignment_results.AlignmentResult",
}


def load_result(path: Path | str) -> Result:
    """Read any saved result; its kind is in the file.

    Raises:
        ResultError: Not a result, of an unknown kind, or from a newer version.
    """
    meta, arrays = read_archive(Path(path))
    meta = current(meta)
    if meta.get("kind") not in _KINDS:
        raise ResultError(
            f"{path} holds a result of kind '{meta.get('kind')}'; known kinds: {', '.join(_KINDS)}."
        )
    module, _, name = _KINDS[meta["kind"]].rpartition(".")
    kind: type[Result] = getattr(importlib.import_module(module), name)
    return kind.from_archive(meta, arrays, str(path))
