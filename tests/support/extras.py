"""Packages that not every installation has."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest


def needed(module: str) -> ModuleType:
    """The module of an extra: without it the tests are skipped, or fail where the extras are promised."""
    if os.environ.get("INTERP_REQUIRE_EXTRAS") == "1":
        return importlib.import_module(module)
    return pytest.importorskip(module)
