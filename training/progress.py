"""How long work tells what it has done."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[str, int, int], None]
"""Called with a label, how much is done, and how much there is in all."""
