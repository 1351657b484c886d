"""Compare intervals over clusters where the truth is known: ``python -m tests.truth.simulate_intervals``.

Writes intervals.csv and intervals.md beside this file, in about ten minutes on one core. The short version
that every test run repeats is in tests/stats/test_coverage.py.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from interp.stats import (
    cell_means,
    clustered_mean,
    clustered_share,
    correlate,
    holm,
    paired_difference,
    ratio_of_means,
)
from tests.truth import candidates as other
from tests.truth.simulated import Sample, sample

REPETITIONS = 2000
CLUSTERS = (2, 4, 8, 16, 24, 64)
ICC = (0.0, 0.2, 0.6)
SEED = 12
HERE = Path(__file__).parent
_MISSED = 1e-12

Row = dict[str, object]


def means(rng: np.random.Generator) -> Iterator[Row]:
    """A mean: values and sizes of clusters crossed."""
    kinds, sizes = ("normal", "skewed", "share 0.5"), ("equal", "unequal", "very unequal")
    for kind, size, clusters, icc in itertools.product(kinds, sizes, CLUSTERS, ICC):
        drawn = sample(rng, kind, size, clusters, icc, REPETITIONS)
        total, n = drawn.totals()
        found = clustered_mean(drawn.values, drawn.labels)
        ends = {
            "t, CR2 (ours)": (found.low, found.high),
            "t, CR1": other.t_over_clusters(total, n, "CR1"),
            "t, CR3": other.t_over_clusters(total, n, "CR3"),
            "percentile": other.percentile(total, n, rng),
        }
        if clusters > 2:
            ends["bootstrap-t"] = other.bootstrap_t(total, n, rng)
        where: Row = {"quantity": f"mean, {kind}", "sizes": size, "clusters": clusters, "icc": icc}
        yield from _rows(where, ends, drawn.truth)
        held = other.wild_holds(total, n, drawn.truth, rng)
        yield {**where, "method": "wild cluster bootstrap", "held": held.mean(), "width": np.nan}


def shares(rng: np.random.Generator) -> Iterator[Row]:
    """A share, from usual to rare."""
    rates, sizes = (0.5, 0.1, 0.02, 0.005), ("equal", "unequal")
    for p, size, clusters, icc in itertools.product(rates, sizes, CLUSTERS[1:], ICC):
        drawn = sample(rng, f"share {p}", size, clusters, icc, REPETITIONS)
        total, n = drawn.totals()
        found, plain = clustered_share(drawn.values, drawn.labels), clustered_mean(drawn.values, drawn.labels)
        ends = {
            "Wilson, one more event (ours)": (found.low, found.high),
            "Wilson of facts": other.wilson_of_facts(total, n),
            "Wilson, effective n": other.wilson_of_clusters(total, n),
            "Korn-Graubard": other.korn_graubard(total, n),
            "t, CR2": (plain.low, plain.high),
        }
        where: Row = {"quantity": f"share {p}", "sizes": size, "clusters": clusters, "icc": icc}
        yield from _rows(where, ends, drawn.truth)


def changes(rng: np.random.Generator) -> Iterator[Row]:
    """A change of a share, where few facts change; 100 and 400 independent facts, or clusters."""
    clustered = list(itertools.product(("equal", "unequal"), (8, 24, 64), ICC))
    for p in (0.3, 0.1, 0.03, 0.01):
        for size, clusters, icc in [*clustered, ("single facts", 100, 0.0), ("single facts", 400, 0.0)]:
            drawn = sample(rng, f"change {p}", size, clusters, icc, REPETITIONS)
            nothing = np.zeros_like(drawn.values)
            found = paired_difference(drawn.values, nothing, drawn.labels, share=True)
            plain = paired_difference(drawn.values, nothing, drawn.labels)
            ends = {"t, one more change (ours)": (found.low, found.high), "t, CR2": (plain.low, plain.high)}
            where: Row = {"quantity": f"change of {p}", "sizes": size, "clusters": clusters, "icc": icc}
            yield from _rows(where, ends, drawn.truth)


def ratios(rng: np.random.Generator) -> Iterator[Row]:
    """A ratio of means of 0.5, where what is below is 1 +- 1 (a fact's own gap is often negative)."""
    for size, clusters, icc in itertools.product(("equal", "unequal"), CLUSTERS[1:], ICC):
        drawn = sample(rng, "normal", size, clusters, icc, REPETITIONS)
        below = 1 + drawn.values
        above = 0.5 * (below + drawn.another(rng, "normal", icc))
        found = ratio_of_means(above, below, drawn.labels)
        (a, _), (b, _) = (Sample(values, drawn.labels, 0.5).totals() for values in (above, below))
        known = ~np.isnan(found.low)
        low, high = other.percentile(a, b, rng)
        where: Row = {"quantity": "ratio of means", "sizes": size, "clusters": clusters, "icc": icc}
        ends = {"Fieller (ours)": (found.low[known], found.high[known]), "percentile": (low, high)}
        yield from _rows({**where, "given": known.mean()}, ends, 0.5)


def correlations(rng: np.random.Generator) -> Iterator[Row]:
    """A correlation of 0.8 over 40 cells whose effects are known up to noise over facts."""
    for clusters, icc in itertools.product(CLUSTERS[1:], ICC):
        held = []
        for _ in range(REPETITIONS // 10):
            true = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 40).T
            target = np.corrcoef(true)[0, 1]
            noise = [sample(rng, "normal", "equal", clusters, icc, 40).values[:, None] for _ in true]
            labels = [i // 6 for i in range(6 * clusters)]
            sides = [cell_means(side + 0.5 * apart, labels) for side, apart in zip(true, noise, strict=True)]
            found = correlate(sides[0], sides[1], slice(None))
            held.append((found.low <= target <= found.high, found.high - found.low))
        where: Row = {"quantity": "correlation 0.8", "sizes": "equal", "clusters": clusters, "icc": icc}
        share, width = np.mean(held, axis=0)
        yield {**where, "method": "jackknife of z (ours)", "held": share, "width": width}


def power(rng: np.random.Generator) -> Iterator[Row]:
    """How often an effect as large as the one that was printed is found in a new sample."""
    for size, clusters, icc in itertools.product(("equal", "unequal"), CLUSTERS[1:], ICC):
        first, second = (sample(rng, "normal", size, clusters, icc, REPETITIONS) for _ in range(2))
        effect = clustered_mean(first.values, first.labels).mde()
        found = clustered_mean(second.values + effect, second.labels)
        where: Row = {"quantity": "power at the MDE", "sizes": size, "clusters": clusters, "icc": icc}
        yield {
            **where,
            "method": "over the standard error (ours)",
            "held": np.mean(found.p < 0.05),
            "width": np.nan,
        }


def families(rng: np.random.Generator) -> Iterator[Row]:
    """Null comparisons of 12 languages x 18 layers x 5 checkpoints: how seldom any Holm p is below .05.

    A comparison is the paired difference of two checkpoints on the same facts; part of a fact's difference is
    the same in all languages and layers.
    """
    for kind, clusters in itertools.product(("normal", "skewed"), (8, 24, 64)):
        clean = []
        for _ in range(200):
            one, two = (_looks(rng, kind, clusters) for _ in range(2))
            labels = np.repeat(np.arange(clusters), len(one) // clusters).tolist()
            clean.append(holm(paired_difference(one, two, labels).p).min() >= 0.05)
        where: Row = {"quantity": f"no false finding in 1080, {kind}", "sizes": "equal", "clusters": clusters}
        yield {**where, "icc": 0.2, "method": "Holm (ours)", "held": np.mean(clean), "width": np.nan}


def _looks(rng: np.random.Generator, kind: str, clusters: int) -> np.ndarray:
    """Values of one checkpoint: ``[fact, language x layer x later checkpoint]``."""
    own, shared = (sample(rng, kind, "equal", clusters, 0.2, n).values for n in (12 * 18 * 5, 1))
    return own + shared


def _rows(where: Row, ends: dict[str, other.Ends], truth: float) -> Iterator[Row]:
    for method, (low, high) in ends.items():
        held = (low <= truth + _MISSED) & (truth <= high + _MISSED)
        yield {**where, "method": method, "held": held.mean(), "width": float(np.median(high - low))}


def summarized(table: pd.DataFrame) -> str:
    """Mean and least coverage per quantity, method and number of clusters, in percent."""
    lines = []
    for quantity, rows in table.groupby("quantity", sort=False):
        counts = sorted(rows.clusters.unique())
        lines += [f"\n## {quantity}\n", "| method | " + " | ".join(f"{n} clusters" for n in counts) + " |"]
        lines.append("|---|" + "---:|" * len(counts))
        for method, of_method in rows.groupby("method", sort=False):
            held = of_method.groupby("clusters").held.agg(["mean", "min"]).reindex(counts) * 100
            cells = [
                "" if np.isnan(row["mean"]) else f"{row['mean']:.1f} ({row['min']:.1f})"
                for _, row in held.iterrows()
            ]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run everything and write both files."""
    start, rng = time.perf_counter(), np.random.default_rng(SEED)
    parts: list[Callable[[np.random.Generator], Iterator[Row]]]
    parts = [means, shares, changes, ratios, correlations, power, families]
    table = pd.DataFrame([row for part in parts for row in part(rng)]).round(4)
    table.to_csv(HERE / "intervals.csv", index=False)
    head = (
        "# Coverage of 95 % intervals over clusters\n\nPercent of samples whose interval holds the "
        "truth: the "
        "mean over sizes of clusters and correlations within them (0, .2, .6), and in brackets the least of "
        "them. All settings, and widths, are in intervals.csv. "
        f"{REPETITIONS} samples each, seed {SEED}; by simulate_intervals.py.\n"
    )
    (HERE / "intervals.md").write_text(head + summarized(table) + "\n", encoding="utf-8")
    print(f"{len(table)} rows in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
