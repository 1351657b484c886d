"""What probes read, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from probes.layers import layer_name
from probes.results import ProbeResult

__all__ = ["interval", "print_probes"]

_LEGEND = (
    "balanced accuracy on facts whose group was in no training fold, 95 % over clusters of facts; control: "
    "the same probe on labels dealt anew; transfer: trained on one language, tested on another, centered: "
    "after each language's mean."
)


def print_probes(names: Sequence[str], results: Sequence[ProbeResult], console: Console) -> None:
    """Print, per checkpoint, one row per layer with its scores; then what was not asked."""
    for name, result in zip(names, results, strict=True):
        said = result.said
        console.print(_layers(f"{name}: {said}", result, ("accuracy", "control", "selectivity")))
        if not result.joint and len(result.languages) > 1:
            carried = [f"transfer {offset}" for offset in result.offsets]
            console.print(_layers(f"{name}: {said}, carried to other languages", result, carried))
    first = results[0]
    asked = int((first.folds >= 0).sum())
    console.print(
        Text(
            f"{asked} facts in {first.clusters_in(first.folds >= 0)} clusters, "
            f"{len(first.languages)} languages, chance {first.chance:.3f}; {_LEGEND}",
            style="dim",
        )
    )
    left_out: dict[str, list[str]] = {}
    for name, result in zip(names, results, strict=True):
        for text in result.left_out:
            left_out.setdefault(text, []).append(name)
    for text, having in left_out.items():
        console.print(Text(f"Left out of {', '.join(having)}: {text}.", style="dim"))
    for name, result in zip(names, results, strict=True):
        if not result.joint and len(result.languages) > 1:
            console.print(_languages(name, result))


def interval(row: pd.Series) -> str:
    """A mean and its interval as text."""
    return "-" if np.isnan(row["mean"]) else f"{row['mean']:.3f} [{row.low:.3f}, {row.high:.3f}]"


def _layers(title: str, result: ProbeResult, curves: Sequence[str]) -> Table:
    table = Table(title=Text(title, style="italic"))
    found = result.by_layer().set_index(["curve", "layer"])
    for header in ("layer", *curves):
        table.add_column(header, justify="right")
    for layer in map(layer_name, result.layers):
        table.add_row(layer, *(interval(found.loc[(curve, layer)]) for curve in curves))
    return table


def _languages(name: str, result: ProbeResult) -> Table:
    """Per language, at the layer that is best within languages: read in it, from it, and into it."""
    best = result.best_layer()
    title = f"{name}: layer {layer_name(result.layers[best])}, balanced accuracy by language"
    table, found = Table(title=Text(title, style="italic")), result.by_language(best).set_index("language")
    for header in ("", *found.columns):
        table.add_column(header, justify="right" if header else "left")
    for code, row in found.iterrows():
        table.add_row(str(code), *("-" if np.isnan(value) else f"{value:.3f}" for value in row))
    return table
