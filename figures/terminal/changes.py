"""Changes between two checkpoints, in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyses.changes import Changes

__all__ = ["print_changes"]

_MOST_ROWS = 30


def print_changes(changes: Changes, console: Console) -> None:
    """Print one row per quantity: both means, the paired change with its interval, and Holm's p."""
    one, other = changes.names
    table = Table(title=Text(f"{one} -> {other}: change, 95 % over clusters of facts", style="italic"))
    for header in ("quantity", "n", "clusters", "before", "after", "change", "low", "high", "Holm p"):
        table.add_column(header, justify="left" if header == "quantity" else "right")
    shown = changes.table
    if len(shown) > _MOST_ROWS:
        shown = shown.loc[shown.p.sort_values(kind="stable").index[:_MOST_ROWS]].sort_index()
    for row in shown.itertuples():
        means = (f"{row.before:.3f}", f"{row.after:.3f}")
        numbers = (f"{row.change:+.3f}", f"{row.low:+.3f}", f"{row.high:+.3f}", f"{row.holm:.3g}")
        table.add_row(Text(row.quantity), str(row.n), str(row.n_clusters), *means, *numbers)
    console.print(table)
    if len(shown) < len(changes.table):
        text = (
            f"The {len(shown)} rows of {len(changes.table)} with the least p; Holm's correction is over all."
        )
        console.print(Text(text, style="dim"))
    for diagnostic in changes.diagnostics:
        console.print(Text(diagnostic, style="dim"))
