"""What languages lose without each other's units, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interp.results.ablation import HARMS, AblationResult

__all__ = ["print_ablation"]

_SAID = {"loss": "nats per token", "accuracy": "accuracy"}
_LEGEND = (
    "Rows: whose units were removed; columns: the language asked; beyond as many random units of the same "
    "layers. * the 95 % interval over clusters of facts leaves out 0, given these draws. p: as large a "
    "diagonal if the rows' names meant nothing."
)


def print_ablation(names: Sequence[str], results: Sequence[AblationResult], console: Console) -> None:
    """Print, per checkpoint and kind of harm, the matrix of languages and whether its diagonal dominates."""
    for name, result in zip(names, results, strict=True):
        for kind in HARMS:
            console.print(_matrix(f"{name}: {_SAID[kind]} lost", result, kind))
            console.print(_diagonal(result, kind))
    first = results[0]
    said = (
        f"{first.removed.shape[-1]} {first.unit} per language set to {first.mode}, {len(first.fact_ids)} facts in "
        f"{len(set(first.groups))} clusters, {first.draws} random draws. "
    )
    console.print(Text(said + _LEGEND, style="dim"))


def _matrix(title: str, result: AblationResult, kind: str) -> Table:
    table, found = Table(title=Text(title, style="italic")), result.to_frame()
    cells = found[found.harm == kind].set_index(["units_of", "language"])
    table.add_column("units of")
    for code in result.languages:
        table.add_column(code, justify="right")
    for owner in result.languages:
        row = [
            Text(_cell(cells.loc[owner, code]), style="bold" if owner == code else "")
            for code in result.languages
        ]
        table.add_row(owner, *row)
    table.add_section()
    table.add_row("random", *(f"{value:+.3f}" for value in result.by_random(kind)))
    return table


def _cell(row: pd.Series) -> str:
    mark = "*" if row.low > 0 or row.high < 0 else ""
    return f"{row.beyond_random:+.3f}{mark}"


def _diagonal(result: AblationResult, kind: str) -> Text:
    test = result.dominance(kind)
    return Text(
        f"own language above the others: {test.value:+.4f} [{test.low:+.4f}, {test.high:+.4f}] {_SAID[kind]}, "
        f"p = {test.p:.2g} (at least {test.least_p:.2g} with {len(result.languages)} languages)"
    )
