"""The one place that finds published outputs: excerpts that stand in the repository, and the full files.

The full files are not part of the project; set INTERP_VERIFY to their folder, or keep it at ../shared/verify.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXCERPTS = ROOT / "tests" / "truth" / "published"
FULL = Path(os.environ.get("INTERP_VERIFY", ROOT.parent / "shared" / "verify"))

needs_full_files = pytest.mark.skipif(not FULL.is_dir(), reason=f"the full published files are not at {FULL}")
"""Marks a test that only the full files can decide."""


def full(name: str) -> Path:
    """A full file or folder; the test is skipped where it is absent."""
    if not (FULL / name).exists():
        pytest.skip(f"the full published files are not at {FULL}")
    return FULL / name


def read_full(name: str) -> Any:
    """The content of a full JSON file."""
    return json.loads(full(name).read_text(encoding="utf-8"))


def read_excerpt(name: str) -> Any:
    """The content of an excerpt."""
    return json.loads((EXCERPTS / name).read_text(encoding="utf-8"))
