"""Whether a folder of the user's hides one of our top-level packages from Python."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from interp.errors import ConfigError

__all__ = ["require_own_packages"]

_PACKAGES = ("analyses", "figures", "probes", "training")


def require_own_packages() -> None:
    """Refuse to go on where another package of the same name is found first.

    Raises:
        ConfigError: Names the package and where it is.
    """
    root = Path(__file__).resolve().parent.parent
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or []) if spec else []
        if not any(Path(place).resolve() == root / name for place in places):
            where = places[0] if places else "nowhere"
            raise ConfigError(
                f"Python finds another package '{name}' ({where}) before interp's own. Run interp from "
                "another folder, or rename that one."
            )
