"""Comparisons of two checkpoints: the change of every layer or quantity, as a figure and as a table."""

from __future__ import annotations

from functools import partial

from analyses.comparison import Comparison, FactComparison, Survival, UnitComparison
from figures.drawing import Drawing
from figures.fact_changes import plot_fact_changes
from figures.lens_changes import plot_lens_changes
from figures.table import Table, estimate, number, p_value, rows_of
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
    if isinstance(comparison, Survival):
        return [_survival(comparison)]
    raise TypeError(f"no table for {type(comparison).__name__}")


def _layers(comparison: UnitComparison) -> Table:
    one, other = comparison.names
    frame = comparison.to_frame()
    shown = ["layer", "before", "after", "change", "low", "high"]
    cells = rows_of(frame, shown, digits=4, signed=("change", "low", "high"))
    rows = [
        (*row, p_value(of.holm), number(of.mde, 4), estimate(of.noise, of.noise_low, of.noise_high, 4))
        for row, of in zip(cells, frame.itertuples(), strict=True)
    ]
    mean = comparison.summary().iloc[0]
    values = [number(mean[name], 4) for name in ("before", "after")]
    values += [number(mean[name], 4, signed=True) for name in ("change", "low", "high")]
    noise = estimate(mean.noise, mean.noise_low, mean.noise_high, 4)
    rows += [(), ("all", *values, p_value(mean.holm), number(mean.mde, 4), noise)]
    return Table(
        f"{one} -> {other}: change of mean specialization per layer ({comparison.unit}s, nats)",
        (*shown, "Holm p", "MDE", "noise [95 %]"),
        tuple(rows),
        f"Change with its 95 % interval, paired over {comparison.before.n_blocks} blocks of facts; p by "
        "Holm over "
        f"{comparison.corrected_over}, half of the error rate for the changes over all layers; MDE: the "
        "smallest "
        "change that would have been shown in 80 %; noise: what a paired change stays below in 95 % where "
        "nothing "
        "changed.",
    )


def _quantities(comparison: FactComparison) -> Table:
    one, other = comparison.names
    frame = comparison.to_frame()
    over = _CLUSTERS[comparison.view.get("cluster", "group")]
    note = (
        f"Change with its 95 % interval, paired over clusters ({over}); p by Holm over "
        f"{comparison.corrected_over}; MDE: the smallest change that would have been shown in 80 %."
    )
    if len(frame) > _MOST_ROWS:
        note += f" Of {len(frame)} rows, the {_MOST_ROWS} with the smallest p."
        frame = frame.loc[frame.p.sort_values(kind="stable").index[:_MOST_ROWS]].sort_index()
    rows = []
    for row in frame.to_dict(orient="records"):
        means = [number(row[name]) for name in ("before", "after")]
        change = [number(row[name], signed=True) for name in ("change", "low", "high")]
        counts = (f"{row['n']:,}", f"{row['n_clusters']:,}")
        p = (p_value(row["holm"]), number(row["mde"]))
        rows.append((row["quantity"], *counts, *means, *change, *p))
    header = ("quantity", "n", "clusters", "before", "after", "change", "low", "high", "Holm p", "MDE")
    return Table(f"{one} -> {other}: change", header, tuple(rows), note)


def _survival(comparison: Survival) -> Table:
    name, control = comparison.names
    frame = comparison.to_frame()
    counted = [column for column in ("n", "n_clusters", "n_blocks") if column in frame]
    note = (
        "survives: share of the value as written that is left under the control, with Fieller's 95 % "
        "interval; 0: nothing, 1: all of it; a dash where the value as written is not shown to differ from "
        "zero. Values are counted from chance."
    )
    if len(frame) > _MOST_ROWS:
        note += f" The first {_MOST_ROWS} of {len(frame)} rows."
        frame = frame[:_MOST_ROWS]
    rows = tuple(
        (
            row["quantity"],
            *(f"{row[column]:,}" for column in counted),
            number(row["as_written"], 4),
            number(row["control"], 4),
            estimate(row["survives"], row["low"], row["high"], 2),
        )
        for row in frame.to_dict(orient="records")
    )
    header = ("quantity", *(column.removeprefix("n_") for column in counted))
    return Table(
        f"{name}, {control}: what survives", (*header, "as written", control, "survives"), rows, note
    )
