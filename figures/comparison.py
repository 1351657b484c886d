"""Comparisons of two checkpoints: the change of every layer or quantity, as a figure and as a table."""

from __future__ import annotations

from functools import partial

from analyses.comparison import Comparison, FactComparison, UnitComparison
from figures.drawing import Drawing
from figures.fact_changes import plot_fact_changes
from figures.lens_changes import plot_lens_changes
from figures.table import Table, number, rows_of
from figures.unit_changes import plot_unit_changes

__all__ = ["comparison_drawings", "comparison_tables"]

_MOST_ROWS = 30
_CLUSTERS = {"group": "groups of facts", "fact": "single facts", "answer": "facts of one answer"}


def comparison_drawings(comparison: Comparison) -> list[Drawing]:
    """The figure of a comparison.

    Raises:
        TypeError: There is none for this type.
    """
    if isinstance(comparison, UnitComparison):
        return [Drawing("", partial(plot_unit_changes, comparison), comparison.to_frame())]
    if isinstance(comparison, FactComparison):
        plot = plot_lens_changes if comparison.kind == "lens" else plot_fact_changes
        return [Drawing("", partial(plot, comparison), comparison.to_frame())]
    raise TypeError(f"no figure for {type(comparison).__name__}")


def comparison_tables(comparison: Comparison) -> list[Table]:
    """The table of a comparison.

    Raises:
        TypeError: There is none for this type.
    """
    if isinstance(comparison, UnitComparison):
        return [_layers(comparison)]
    if isinstance(comparison, FactComparison):
        return [_quantities(comparison)]
    raise TypeError(f"no table for {type(comparison).__name__}")


def _layers(comparison: UnitComparison) -> Table:
    one, other = comparison.names
    frame = comparison.to_frame()
    cells = rows_of(frame.drop(columns="adjusted_p"), digits=4, signed=("change", "low", "high"))
    rows = tuple((*row[:6], f"{p:.2g}", row[6]) for row, p in zip(cells, frame.adjusted_p, strict=True))
    return Table(
        f"{one} -> {other}: change of mean specialization per layer ({comparison.unit}s, nats)",
        ("layer", "before", "after", "change", "low", "high", "adjusted p", "noise floor"),
        rows,
        "Change with its 95 % interval, paired over blocks of facts; p adjusted over layers "
        "(Benjamini-Hochberg); noise floor: the same checkpoint on two halves of the text.",
    )


def _quantities(comparison: FactComparison) -> Table:
    one, other = comparison.names
    frame = comparison.to_frame()
    over = _CLUSTERS[comparison.view.get("cluster", "group")]
    note = (
        f"Change with its 95 % interval, paired over clusters ({over}); p by Holm over all rows; "
        "MDE: the smallest change that would have been found in 80 % (without correction)."
    )
    if len(frame) > _MOST_ROWS:
        note += f" Of {len(frame)} rows, the {_MOST_ROWS} with the smallest p."
        frame = frame.loc[frame.p.sort_values(kind="stable").index[:_MOST_ROWS]].sort_index()
    rows = []
    for row in frame.to_dict(orient="records"):
        means = [number(row[name]) for name in ("before", "after")]
        change = [number(row[name], signed=True) for name in ("change", "low", "high")]
        counts = (f"{row['n']:,}", f"{row['n_clusters']:,}")
        p = (f"{row['holm']:.3g}", number(row["mde"]))
        rows.append((row["quantity"], *counts, *means, *change, *p))
    header = ("quantity", "n", "clusters", "before", "after", "change", "low", "high", "Holm p", "MDE")
    return Table(f"{one} -> {other}: change", header, tuple(rows), note)
