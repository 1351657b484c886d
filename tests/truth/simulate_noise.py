"""The noise of specialization where the truth is known: ``python -m tests.truth.simulate_noise``.

Writes noise.md beside this file, in about three minutes on one core: how near the noise floor of one text is
to the true 95th percentile of the difference between two texts, and how often a true change is found, by the
rule that stands in `analyses.comparison.units` and by the one before it. A short version is in
tests/analyses/test_noise.py.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from analyses.comparison.units import contrast
from interp.results.specialization import SpecializationResult
from interp.stats import ALPHA
from tests.support.results import LANGUAGES, provenance

BLOCKS = (4, 6, 8, 16)
TEXTS = 1000
SEED = 12
HERE = Path(__file__).parent
_LAYERS, _NEURONS, _TOKENS = 2, 30, 600
_TOPIC, _ALIKE = 0.9, 0.8  # how far a topic moves a neuron; correlation of what it does in two checkpoints


def texts(
    rng: np.random.Generator, blocks: int, n: int, change: float = 0.0
) -> Iterator[tuple[SpecializationResult, SpecializationResult]]:
    """Texts of some blocks, each with a topic of its own, as two checkpoints read them.

    The second is less specialized by the share ``change``: languages differ by so much less, and it reacts to
    topics in its own way.
    """
    model = np.random.default_rng(0)  # the same model in all texts
    language = model.normal(0, 0.8, (len(LANGUAGES), 1, _LAYERS, _NEURONS))
    usual = model.normal(0, 1, (1, 1, _LAYERS, _NEURONS))
    size = np.full((len(LANGUAGES), blocks), _TOKENS)
    for _ in range(n):
        shape = (len(LANGUAGES), blocks, _LAYERS, _NEURONS)
        topic, own = _TOPIC * rng.normal(size=shape), _TOPIC * rng.normal(size=shape)
        again = _ALIKE * topic + np.sqrt(1 - _ALIKE**2) * own
        logits = (usual + language + topic, usual + np.sqrt(1 - change) * language + again)
        counts = [rng.binomial(_TOKENS, 1 / (1 + np.exp(-each))).astype(np.int32) for each in logits]
        one, other = (
            SpecializationResult(LANGUAGES, size, size // 30, provenance(name), counts=each)
            for name, each in zip("ab", counts, strict=True)
        )
        yield one, other


def floor_of_halves(result: SpecializationResult) -> float:
    """The floor as it was: 95th percentile of the difference between halves of the text, over splits."""
    n, every = result.n_blocks, np.arange(result.n_blocks)
    first = [[0, *rest] for rest in itertools.combinations(range(1, n), n // 2 - 1)]
    rng = np.random.default_rng(0)
    if len(first) > 35:
        first = [rng.permutation(n)[: n // 2].tolist() for _ in range(35)]
    halves = ((np.isin(every, one), ~np.isin(every, one)) for one in first)
    gaps = [
        result.score(result.activity(a)).mean() - result.score(result.activity(b)).mean() for a, b in halves
    ]
    return float(np.quantile(np.abs(gaps), 0.95))


def calibration(rng: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """Both floors over the true percentile, and how often the interval holds it."""
    for blocks in BLOCKS:
        read = [one for one, _ in texts(rng, blocks, TEXTS)]
        values = np.array([float(each.overall.value) for each in read])
        true = np.quantile(np.abs(values[::2] - values[1::2]), 0.95)
        old = np.array([floor_of_halves(each) for each in read[:200]]) / true
        noise = [each.overall.noise(texts=2) for each in read]
        new = np.array([each.value for each in noise]) / true
        held = np.mean([each.low <= true <= each.high for each in noise])
        yield str(blocks), *(_spread(each) for each in (old, new)), f"{held:.1%}"


def power(rng: np.random.Generator, blocks: int = 8, n: int = 400) -> Iterator[tuple[str, ...]]:
    """How often a change is called: by its interval, after correction, and beyond the floor as it was."""
    for change in (0.0, 0.09, 0.18, 0.27, 0.36):
        pairs = list(texts(rng, blocks, n, change))
        found = [contrast(one, other) for one, other in pairs]
        base = np.mean([float(one.overall.value) for one, _ in pairs])
        size = np.mean([float(each.change.value) for each in found]) / base
        excludes = np.array([float(each.change.p_value()) < ALPHA for each in found])
        beyond = np.array(
            [
                abs(float(c.change.value)) >= floor_of_halves(one)
                for c, (one, _) in zip(found, pairs, strict=True)
            ]
        )
        shown = np.mean([each.differs for each in found])
        yield f"{size:+.0%}", f"{excludes.mean():.0%}", f"{shown:.0%}", f"{(excludes & beyond).mean():.0%}"


def _spread(ratios: np.ndarray) -> str:
    low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---:|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def main() -> None:
    """Run both and write the file."""
    start, rng = time.perf_counter(), np.random.default_rng(SEED)
    parts = [
        "# The noise of mean specialization\n\nSimulated blocks of text with topics of their own, seed "
        f"{SEED}; by simulate_noise.py.",
        "## Noise floor between two texts, over the true 95th percentile of their difference\n\nMedian (5th "
        "to 95th "
        f"percentile) over {TEXTS} texts; before: 95th percentile over the splits of one text into halves "
        "(200 texts).",
        _table(("blocks", "before", "now", "interval holds the truth"), calibration(rng)),
        "## How often a true change is called, 8 blocks, 400 pairs\n\nIts 95 % interval alone; the verdict "
        "(Holm over the "
        "mean and both layers); and the verdict as it was, which asked that the change be beyond the floor "
        "as well.",
        _table(("true change", "interval", "verdict", "beyond the floor before"), power(rng)),
    ]
    (HERE / "noise.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
