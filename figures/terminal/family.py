"""The table of the organism's family in the terminal."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["print_family"]


def print_family(frame: pd.DataFrame, console: Console) -> None:
    """Print accuracy and change from the base by stratum: the rows of `analyses.family_table.FamilyTable`."""
    members = list(dict.fromkeys(frame.member))
    table = Table(
        title=Text(
            "Multiple-choice accuracy; below it, change from the base with 95 % interval", style="italic"
        )
    )
    table.add_column("facts")
    for header in ("n", "clusters", "prior", *members):
        table.add_column(header, justify="right")
    for stratum, rows in frame.groupby("stratum", sort=False):
        first = rows.iloc[0]
        cells = [
            f"{row.accuracy:.3f}"
            + ("" if row.member == "base" else f"\n{row.change:+.3f}\n{row.low:+.3f} to {row.high:+.3f}")
            for row in rows.itertuples()
        ]
        table.add_row(str(stratum), str(first.n), str(first.n_clusters), f"{first.prior:.3f}", *cells)
    console.print(table)
    console.print(
        Text(
            "read: the base was trained on the fact in that language; alike: the answer is spelled as in "
            "English; prior: accuracy of the relation's most frequent answer.",
            style="dim",
        )
    )
