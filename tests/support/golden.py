"""Files that earlier versions saved, and the numbers that their results had then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from interp.results import load_result

FOLDER = Path(__file__).parents[1] / "golden"


def golden(name: str, schema: int = 1) -> tuple[Any, dict]:
    """The result in the file of a schema, as today's code loads it, and what was true of it when it was
    saved."""
    file = FOLDER / f"{name}-schema-{schema}.npz"
    return load_result(file), json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
