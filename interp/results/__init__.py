"""What is kept and how it is defined: settings, frozen results, pure functions of counts (numpy only).

The names here are imported on first use, since the settings in `interp.results.settings` are read before
anything is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.errors import ResultError
from interp.registry import MEASURES, load, measure_of_kind

if TYPE_CHECKING:
    from interp.results.base import FactResult, Result
    from interp.results.heads import HeadsResult
    from interp.results.specialization import SpecializationResult
    from interp.results.units import UnitResult

__all__ = ["FactResult", "HeadsResult", "Result", "SpecializationResult", "UnitResult", "load_result"]

_MODULES = {
    "FactResult": "base",
    "HeadsResult": "heads",
    "Result": "base",
    "SpecializationResult": "specialization",
    "UnitResult": "units",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'interp.results' has no attribute '{name}'")
    return load(f"interp.results.{_MODULES[name]}.{name}")


def load_result(path: Path | str) -> Result:
    """Read any saved result; its kind is in the file.

    Raises:
        ResultError: Not a result, of an unknown kind, or from a newer version.
    """
    from interp.results.migration import current
    from interp.results.storage import read_archive

    meta, arrays = read_archive(Path(path))
    meta = current(meta)
    measure = measure_of_kind(meta.get("kind", ""))
    if measure is None:
        kinds = ", ".join(kind for each in MEASURES for kind in each.kinds)
        raise ResultError(f"{path} holds a result of kind '{meta.get('kind')}'; known kinds: {kinds}.")
    kind: type[Result] = load(measure.kinds[meta["kind"]])
    return kind.from_archive(meta, arrays, str(path))
