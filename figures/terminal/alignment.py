"""Whether translations meet, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from figures.terminal.probes import interval
from probes.alignment_results import PIVOT, AlignmentResult
from probes.layers import layer_name

__all__ = ["print_alignment"]

_KINDS = {"en-x": "English with another language", "x-y": "two other languages"}


def print_alignment(names: Sequence[str], results: Sequence[AlignmentResult], console: Console) -> None:
    """Print, per checkpoint, one row per layer: mutual retrieval and CKA of each kind of pairs; then MEXA by language."""
    for name, result in zip(names, results, strict=True):
        for kind in result.pairs:
            console.print(_layers(f"{name}: {_KINDS[kind]}", result, kind))
    first = results[0]
    console.print(
        Text(
            f"{len(first.fact_ids)} facts in {len(set(first.groups))} clusters: mutual: both find their own "
            "translation among all of them, raw as in MEXA; 95 % over clusters of facts. In brackets: CKA "
            "when the facts of one language are shuffled.",
            style="dim",
        )
    )
    if PIVOT in first.languages:
        console.print(_mexa(names, results))


def _layers(title: str, result: AlignmentResult, kind: str) -> Table:
    table = Table(title=Text(title, style="italic"))
    found = result.by_layer().set_index(["curve", "layer"])
    for header in ("layer", "mutual raw", "mutual centered", "CKA (shuffled)"):
        table.add_column(header, justify="right")
    floor = result.shuffled(kind)
    for i, layer in enumerate(map(layer_name, result.layers)):
        shares = [
            interval(found.loc[(f"mutual {treatment} {kind}", layer)]) for treatment in result.treatments
        ]
        similar = found.loc[(f"CKA {kind}", layer)]
        table.add_row(layer, *shares, _similarity(similar, float(floor[i])))
    return table


def _similarity(row: pd.Series, floor: float) -> str:
    return "-" if np.isnan(row["mean"]) else f"{interval(row)} ({floor:.3f})"


def _mexa(names: Sequence[str], results: Sequence[AlignmentResult]) -> Table:
    """MEXA of each language with English: the mean over layers, and the best layer."""
    table = Table(title=Text("MEXA with English, mean over layers", style="italic"))
    for header in ("", *names):
        table.add_column(header, justify="right" if header else "left")
    scores = [result.mexa_with_pivot().set_index("language") for result in results]
    for code in scores[0].index:
        rows = [score.loc[code] for score in scores]
        table.add_row(code, *(f"{row['mean']:.3f}, at most {row.highest:.3f}" for row in rows))
    return table
