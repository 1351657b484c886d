"""Specialization in the terminal: per language, per layer, and the verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from analyses.comparison import Comparison
from analyses.study import SpecializationStudy
from interp.results import UnitResult

_PER_TABLE = 2  # checkpoints side by side, so that a table fits 80 columns
_LEGEND = {
    "neuron": "> .05: neurons above 0.05 nats that tell most about the language; LAPE and PolyFact select a fixed share.",
    "head": "top head: layer.head of most importance; shared: overlap of the top heads with other languages' (mean).",
}

__all__ = ["print_comparison", "print_study"]


def print_study(study: SpecializationStudy, console: Console) -> None:
    """Print, per kind of unit, one table over languages, one over layers, and the comparisons."""
    note = f" ({study.prompts.note})" if study.prompts.note else ""
    console.print(Text(f"Prompts: {study.prompts.name}{note}", style="dim"))
    for unit, results in study.results.items():
        console.print()
        labels = _labels(len(results))
        for start in range(0, len(results), _PER_TABLE):
            part = slice(start, start + _PER_TABLE)
            console.print(_languages(unit, results[part], labels[part]))
            console.print(_layers(unit, results[part], labels[part]))
        console.print(Text(_LEGEND[results[0].unit], style="dim"))
        for label, name, result, floor in zip(labels, study.names, results, study.floors[unit], strict=True):
            low, high = result.overall.interval()
            said = (
                f"{label} {name}: mean specialization {result.overall.value:.4f} nats [{low:.4f}, {high:.4f}]; two halves "
                f"of the text differ by up to {floor.overall:.4f}; with shuffled language labels at most "
                f"{floor.chance:.4f}."
            )
            console.print(Text(said))
        for comparison in study.comparisons[unit]:
            print_comparison(comparison, console)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the verdict and the change per layer."""
    title = (
        f"{comparison.names[0]} -> {comparison.names[1]}: change per layer ({comparison.unit}s, nats, 95 %)"
    )
    table = Table(title=Text(title, style="italic"))
    for header in ("layer", "before", "after", "change", "low", "high", "adj. p", "floor"):
        table.add_column(header, justify="right")
    for row in comparison.to_frame().itertuples():
        table.add_row(
            str(row.layer),
            f"{row.before:.4f}",
            f"{row.after:.4f}",
            f"{row.change:+.4f}",
            f"{row.low:+.4f}",
            f"{row.high:+.4f}",
            f"{row.adjusted_p:.3g}",
            f"{row.noise_floor:.4f}",
        )
    console.print()
    console.print(table)
    console.print(Panel(Text(repr(comparison)), border_style="yellow" if not comparison.differs else "green"))


def _labels(n: int) -> list[str]:
    """A, B, ... as long as letters last, then numbers."""
    return [chr(ord("A") + i) if n <= 26 else str(i + 1) for i in range(n)]


def _languages(unit: str, results: Sequence[UnitResult], labels: Sequence[str]) -> Table:
    table = Table(title=f"{unit.capitalize()} per language")
    for header in ("", "prompts", "tokens"):
        table.add_column(header, justify="right")
    columns = [
        (f"{label}\n{title}", values)
        for result, label in zip(results, labels, strict=True)
        for title, values in result.per_language_columns().items()
    ]
    for title, _ in columns:
        table.add_column(title, justify="right")
    first = results[0]
    for i, code in enumerate(first.languages):
        counts = (f"{first.items[i].sum():,}", f"{first.tokens[i].sum():,}")
        table.add_row(code, *counts, *(values[i] for _, values in columns))
    return table


def _layers(unit: str, results: Sequence[UnitResult], labels: Sequence[str]) -> Table:
    table = Table(title=f"Mean specialization per layer ({unit}, nats, 95 %)")
    table.add_column("layer", justify="right")
    for _, label in zip(results, labels, strict=True):
        table.add_column(label, justify="right")
    columns = [(r.per_layer.value, *r.per_layer.interval()) for r in results]
    for layer in range(results[0].n_layers):
        cells = [f"{v[layer]:.4f} [{a[layer]:.4f}, {b[layer]:.4f}]" for v, a, b in columns]
        table.add_row(str(layer), *(Text(c) for c in cells))
    return table
