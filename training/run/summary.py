"""The result of a run, in a few lines for the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_run"]


def print_run(out: Path, console: Console) -> None:
    """Print the accuracy of a finished run before and after, and its cost."""
    from rich.table import Table

    card = json.loads((out / "final" / "card.json").read_text(encoding="utf-8"))
    table = Table(title=f"{card['method']} from {card['parent']['checkpoint']}")
    for name in ("split", "step", "facts", "accuracy", "total consistency", "resolved", "empty"):
        table.add_column(name, justify="left" if name == "split" else "right")
    for row in card["evaluations"]:
        shares = (row["accuracy"], row["total_consistency"], row["resolved"], row["empty"])
        table.add_row(
            row["split"], str(row["step"]), str(row["facts"]), *(f"{share:.3f}" for share in shares)
        )
    console.print(table)
    cost = card["cost"]
    console.print(
        f"{cost['tokens']:,} tokens, {cost['wall_seconds']:.0f} s, {cost['device_hours']:.3f} device-hours",
        highlight=False,
    )
