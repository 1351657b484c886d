"""Which heads or neurons matter by estimate, and whether patching them agrees, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interp.results.attribution import AttributionResult

__all__ = ["print_attribution"]

_LEGEND = (
    "logits of right minus wrong answer, 95 %; estimate: (source - target activation) x gradient, over blocks of facts; true "
    "effect: patched alone, over clusters of facts; slope: true effect per estimated logit."
)


def print_attribution(
    names: Sequence[str], results: Sequence[AttributionResult], console: Console, *, top: int = 10
) -> None:
    """Print, per checkpoint, the units with the largest estimates, and how well estimates predict what was patched."""
    for name, result in zip(names, results, strict=True):
        used = int((result.left_out == 0).sum())
        console.print(_units(f"{name}: {result.unit} {result.mode}, {used} pairs", result, top))
        if len(result.cells):
            console.print(_correlations(f"{name}: estimate and true effect", result))
        else:
            console.print(Text("Not verified: nothing was patched for real.", style="dim"))
    console.print(Text(_LEGEND, style="dim"))


def _units(title: str, result: AttributionResult, top: int) -> Table:
    table = Table(title=Text(title, style="italic"))
    for header in (result.unit.removesuffix("s"), "span", "estimate", "unrelated fact", "true effect"):
        table.add_column(header, justify="left" if header == "span" else "right")
    true = result.verified().set_index(["layer", "unit", "position"])
    for row in result.largest(top).itertuples():
        key = (row.layer, row.unit, row.position)
        found = true.loc[key] if key in true.index else None
        effect = "-" if found is None else _interval(found.effect, found.low, found.high)
        estimate = _interval(row.estimate, row.low, row.high)
        table.add_row(f"{row.layer}.{row.unit}", row.position, estimate, f"{row.floor:+.3f}", effect)
    return table


def _correlations(title: str, result: AttributionResult) -> Table:
    table = Table(title=Text(title, style="italic"))
    for header in ("", "n", "clusters", "Pearson", "Spearman", "slope"):
        table.add_column(header, justify="right" if header else "left")
    for _, row in result.correlation().iterrows():
        counts = (str(row.n), str(row.n_clusters))
        table.add_row(row.cells, *counts, _of(row, "pearson"), _of(row, "spearman"), f"{row.slope:.2f}")
    return table


def _of(row: pd.Series, kind: str) -> str:
    return _interval(row[kind], row[f"{kind}_low"], row[f"{kind}_high"])


def _interval(value: float, low: float, high: float) -> str:
    return "-" if np.isnan(value) else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
