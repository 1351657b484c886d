"""How far languages share routes, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interp.results.routing import RoutingResult

__all__ = ["print_routing"]

_EXCESS = "overlap above chance"
_LEGEND = (
    "overlap: cosine of a fact's attributions in two languages, mean of all pairs; chance: with another fact of its relation; "
    "specific: cosine of what differs between the two facts. 95 % over clusters of facts."
)


def print_routing(names: Sequence[str], results: Sequence[RoutingResult], console: Console) -> None:
    """Print, per checkpoint, all quantities, overlap by layer, and what each language shares with the others."""
    for name, result in zip(names, results, strict=True):
        console.print(_quantities(name, result))
        console.print(_layers(result))
        console.print(_languages(result))
    first = results[0]
    facts = f"{len(first.fact_ids)} facts in {len(set(first.groups))} clusters"
    left = first.provenance.run.get("without_partner", 0)
    alone = f", {left} without a partner left out" if left else ""
    console.print(Text(f"{facts}{alone}, {len(first.languages)} languages. {_LEGEND}", style="dim"))


def _quantities(name: str, result: RoutingResult) -> Table:
    table = Table(title=Text(f"{name}: over all layers", style="italic"))
    for header in ("quantity", "n", "clusters", "mean", "95 %"):
        table.add_column(header, justify="left" if header == "quantity" else "right")
    for row in result.summary().itertuples():
        counts = (str(row.n), str(row.n_clusters))
        table.add_row(row.quantity, *counts, f"{row.mean:+.3f}", f"[{row.low:+.3f}, {row.high:+.3f}]")
    return table


def _layers(result: RoutingResult) -> Table:
    table, found = Table(title=Text("by layer", style="italic")), result.by_layer()
    shown = ("overlap", "chance", "excess")
    for header in ("units", "layer", *shown):
        table.add_column(header, justify="left" if header == "units" else "right")
    for unit in result.units:
        for _, row in found[found.units == unit].iterrows():
            table.add_row(unit, str(row.layer), *(_interval(row, name) for name in shown))
        table.add_section()
    return table


def _languages(result: RoutingResult) -> Table:
    """Per language, the mean overlap above chance of its pairs."""
    table = Table(title=Text(f"{_EXCESS}: mean of a language's pairs", style="italic"))
    for header in ("", *result.languages):
        table.add_column(header, justify="right" if header else "left")
    for unit in result.units:
        means = result.with_others(unit)
        table.add_row(unit, *("-" if np.isnan(value) else f"{value:+.3f}" for value in means))
    return table


def _interval(row: pd.Series, name: str) -> str:
    if np.isnan(row[name]):
        return "-"
    return f"{row[name]:+.3f} [{row[f'{name}_low']:+.3f}, {row[f'{name}_high']:+.3f}]"
