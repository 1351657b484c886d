"""What the layers of checkpoints say, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interp.results.lens import LensResult

__all__ = ["print_lens"]

_SHOWN = ("takeover layer", "pivot area", "pivot lead", "answer at output", "pivot mass")
_LEGEND = (
    "takeover layer: first layer from which on the prompt's language is above the pivot; pivot area: mean probability of the "
    "pivot's answer over depth; pivot lead: mean of what it is above the prompt's language by; pivot mass: mean probability of "
    "the pivot's lexicon over depth, whatever the answer. 95 % over clusters of facts."
)


def print_lens(lens: str, names: Sequence[str], results: Sequence[LensResult], console: Console) -> None:
    """Print, per checkpoint, one row per language of the prompt: facts that count, and the quantities with intervals."""
    for name, result in zip(names, results, strict=True):
        console.print(_table(f"{name}: {lens} lens, pivot {result.pivot}", result))
        if "held_out_kl" in result.provenance.run:
            console.print(_divergence(result.provenance.run["held_out_kl"]))
    layers = results[0].n_layers - 1
    console.print(Text(f"{layers} layers; layer 0 is what enters the first. {_LEGEND}", style="dim"))


def _table(title: str, result: LensResult) -> Table:
    table = Table(title=Text(title, style="italic"))
    for header in ("", "n", "clusters", "left out", *_SHOWN):
        table.add_column(header, justify="right" if header else "left")
    found, left = result.summary().set_index("quantity"), result.left_out()
    others = [code for code in result.languages if code != result.pivot]
    for code in others:
        key = [f"{name} {code}" if len(others) > 1 else name for name in _SHOWN]
        kept = len(result.fact_ids) - left[code]
        clusters = str(found.n_clusters[key[0]])
        table.add_row(code, str(kept), clusters, str(left[code]), *(_interval(found.loc[k]) for k in key))
    if len(others) > 1:
        table.add_section()
        n = (str(int(found[column][_SHOWN[0]])) for column in ("n", "n_clusters"))
        table.add_row("all", *n, "", *(_interval(found.loc[k]) for k in _SHOWN))
    return table


def _interval(row: pd.Series) -> str:
    return f"{row['mean']:.3g} [{row.low:.3g}, {row.high:.3g}]" if row.n else "-"


def _divergence(held_out: dict[str, list[float]]) -> Table:
    table = Table(title=Text("KL(output || lens) on held-out text, nats", style="italic"))
    for header in ("layer", *map(str, range(len(held_out["plain"])))):
        table.add_column(header, justify="right")
    for name, values in held_out.items():
        table.add_row(name, *(f"{value:.3f}" for value in values))
    return table
