"""What patching recovers, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interp.results.patching import PatchingResult

__all__ = ["print_patching"]

_MOST_ROWS = 12
_LEGEND = (
    "recovery: (patched - corrupt) / (clean - corrupt), means over facts; floor: the same with an unrelated "
    "fact's activations; beyond: recovery - floor. 95 % over clusters of facts. rescued: share of facts "
    "whose right answer gets above the wrong one; by control: with the unrelated fact."
)


def print_patching(
    names: Sequence[str], results: Sequence[PatchingResult], metric: str, console: Console
) -> None:
    """Print, per checkpoint, the cells that recover most, and how the best does in each language."""
    for name, result in zip(names, results, strict=True):
        console.print(_cells(name, result, metric))
        console.print(_languages(result, metric))
        console.print(Text(_left_out(result), style="dim"))
    console.print(Text(_LEGEND, style="dim"))


def _cells(name: str, result: PatchingResult, metric: str) -> Table:
    found = result.recovery(metric)
    order = found.beyond.fillna(found.recovery).sort_values(ascending=False, kind="stable").index
    shown = found.loc[order[:_MOST_ROWS]].sort_index()
    more = f"{len(shown)} of {len(found)} cells, " if len(found) > len(shown) else ""
    clean, corrupt = result.means(metric)
    means = "no pair" if np.isnan(clean) else f"clean {clean:.2f}, corrupt {corrupt:.2f}"
    where = f"{result.site}{' onward' * result.onward}, {result.mode}, {more}{metric}: {means}"
    table = Table(title=Text(f"{name}: {where}", style="italic"))
    several = len(result.units) > 1
    for header in (
        "unit" if several else "layer",
        "position",
        "n",
        "clusters",
        "recovery",
        "floor",
        "beyond",
    ):
        table.add_column(header, justify="left" if header in ("position", "unit") else "right", no_wrap=True)
    for _, row in shown.iterrows():
        place = (
            f"{row.layer}.{row.unit}" if several else str(row.layer),
            row.position,
            str(row.n),
            str(row.n_clusters),
        )
        recovery, beyond = _interval(row, "recovery", ""), _interval(row, "beyond", "beyond_")
        table.add_row(*place, recovery, f"{row.floor:.2f}", beyond)
    return table


def _languages(result: PatchingResult, metric: str) -> Table:
    """Per language, the cell that recovers most over all languages."""
    cell = result.best(metric)
    table = Table(title=Text(f"by language, at {result.name_of(*cell)}", style="italic"))
    for header in ("", "n", "clusters", "recovery", "beyond", "rescued", "by control"):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    for code in result.languages:
        here, rescued = result.at(*cell, metric, code), result.at(*cell, "rescued", code)
        shares = ("-", "-") if not here.n else (f"{rescued.patched:.2f}", f"{rescued.control:.2f}")
        recovery, beyond = _interval(here, "recovery", ""), _interval(here, "beyond", "beyond_")
        table.add_row(code, str(here.n), str(here.n_clusters), recovery, beyond, *shares)
    return table


def _left_out(result: PatchingResult) -> str:
    counts = result.reasons().sum()
    listed = ", ".join(f"{counts[reason]} {reason}" for reason in counts.index[1:] if counts[reason])
    return f"{counts['used']} of {counts.sum()} facts and languages used" + (f"; {listed}" if listed else "")


def _interval(row: pd.Series, value: str, prefix: str) -> str:
    if pd.isna(row[value]):
        return "-"
    return f"{row[value]:.2f} [{row[f'{prefix}low']:.2f}, {row[f'{prefix}high']:.2f}]"
