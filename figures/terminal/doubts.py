"""What makes a result doubtful, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

__all__ = ["print_doubts"]


def print_doubts(doubts: Sequence[str], console: Console) -> None:
    """A loud banner when a result is doubtful."""
    if doubts:
        body: RenderableType = Group(*(Text(d) for d in doubts))
        console.print(Panel(body, title="SANITY CHECK FAILED", border_style="bold red"))
