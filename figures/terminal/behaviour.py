"""What checkpoints answer, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interp.results.behaviour import BehaviourResult

__all__ = ["print_behaviour"]

_PER = {"sum": "summed", "token": "per token", "character": "per character", "byte": "per byte"}


def print_behaviour(
    names: Sequence[str],
    results: Sequence[BehaviourResult],
    changes: Sequence[pd.DataFrame],
    normalization: str,
    console: Console,
) -> None:
    """Print accuracy per language and consistency of every checkpoint, and the change from the first."""
    table = Table(
        title=Text(f"Right answers: multiple choice, log-probability {_PER[normalization]}", style="italic")
    )
    for header in ("", *names):
        table.add_column(header, justify="right" if header else "left")
    found = [result.by_language(normalization) for result in results]
    for row, code in enumerate(results[0].languages):
        cells = [f"{t.accuracy[row]:.3f} [{t.low[row]:.3f}, {t.high[row]:.3f}]" for t in found]
        table.add_row(code, *cells)
    if len(results[0].languages) > 1:
        table.add_section()
        same = [result.consistency(normalization) for result in results]
        for name in same[0]:
            table.add_row(name.replace("_", " "), *(f"{each[name]:.3f}" for each in same))
    console.print(table)
    ties = max(float(t.ties.max()) for t in found)
    console.print(
        Text(
            f"{len(results[0].fact_ids)} facts; a guess is right in {results[0].chance:.3f}; ties, which earn a share, in at "
            f"most {ties:.3f} of a language's facts.",
            style="dim",
        )
    )
    for name, change in zip(names[1:], changes, strict=True):
        compared = Table(
            title=Text(f"{names[0]} -> {name}: change, 95 % over groups of facts", style="italic")
        )
        for header in ("quantity", "before", "after", "change", "low", "high", "Holm p"):
            compared.add_column(header, justify="left" if header == "quantity" else "right")
        for line in change.itertuples():
            numbers = (f"{line.change:+.3f}", f"{line.low:+.3f}", f"{line.high:+.3f}", f"{line.holm:.3g}")
            compared.add_row(line.quantity, f"{line.before:.3f}", f"{line.after:.3f}", *numbers)
        console.print(compared)
