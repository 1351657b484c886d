"""What makes a result doubtful, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

__all__ = ["print_diagnostics"]


def print_diagnostics(diagnostics: Sequence[str], console: Console) -> None:
    """A loud banner when a result is doubtful."""
    if diagnostics:
        body: RenderableType = Group(*(Text(d) for d in diagnostics))
        console.print(Panel(body, title="SANITY CHECK FAILED", border_style="bold red"))
