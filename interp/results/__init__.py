"""What is kept and how it is defined: frozen results, pure functions of counts (numpy only)."""

from __future__ import annotations

from pathlib import Path

from interp.errors import ResultError
from interp.results.base import UnitResult
from interp.results.heads import HeadsResult
from interp.results.specialization import SpecializationResult
from interp.results.storage import read_archive

__all__ = ["HeadsResult", "SpecializationResult", "UnitResult", "load_result"]

_KINDS: dict[str, type[UnitResult]] = {cls.kind: cls for cls in (SpecializationResult, HeadsResult)}


def load_result(path: Path | str) -> UnitResult:
    """Read any saved result; its kind is in the file.

    Raises:
        ResultError: Not a result, of an unknown kind, or from a newer version.
    """
    meta, arrays = read_archive(Path(path))
    if meta.get("kind") not in _KINDS:
        raise ResultError(
            f"{path} holds a result of kind '{meta.get('kind')}'; known kinds: {', '.join(_KINDS)}."
        )
    return _KINDS[meta["kind"]]._from_archive(meta, arrays, str(path))
