"""Every figure, of made results as large as anyone will draw: checkpoints, languages and layers as given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from analyses.comparison import compare
from figures import drawings
from figures.drawing import Drawing
from interp.data.languages import LANGUAGES
from tests.support.results import heads, neurons
from tests.support.results.ablation import ablation_result
from tests.support.results.alignment import alignment_result
from tests.support.results.attribution import attribution_result
from tests.support.results.behavior import behavior_result
from tests.support.results.lens import random_lens_result
from tests.support.results.patching import patching_result
from tests.support.results.probes import probe_result
from tests.support.results.routing import routing_result

N = 8  # facts
CODES = tuple(LANGUAGES)

__all__ = ["CODES", "gallery"]


def gallery(checkpoints: int, n_languages: int, n_layers: int) -> Iterator[tuple[str, Drawing]]:
    """Name and drawing of every figure of every kind of result."""
    codes, names = CODES[:n_languages], [f"checkpoint-{i + 1}00" for i in range(checkpoints)]
    for kind, made in _results(codes, n_layers).items():
        results = [made(seed) for seed in range(checkpoints)]
        shown = drawings(results, names)
        first = [d for d in shown if not d.stem.startswith(tuple(names[1:]))]
        yield from ((f"{kind} {drawing.stem}".strip(), drawing) for drawing in first)
        if kind in ("neurons", "behavior", "lens"):
            yield f"{kind} change", drawings(compare(*results[:2]))[0]


def _results(codes, n_layers):
    a = len(codes)

    def random(seed, *shape):
        return np.random.default_rng(seed).random(shape)

    def normal(seed, *shape):
        return np.random.default_rng(seed).normal(size=shape)

    def patched(seed, units=("all",), positions=("last",)):
        shape = (N, a, 3, n_layers, len(units), len(positions))
        return patching_result(
            n=N,
            languages=codes,
            left_out=np.zeros((N, a), dtype=np.int64),
            clean=np.full((N, a, 3), 4.0),
            corrupt=np.full((N, a, 3), -2.0),
            patched=normal(seed, *shape),
            control=normal(seed + 99, *shape),
            units=units,
            positions=positions,
        )

    def estimated(seed, unit):
        cells = np.array([[0, 0, 0], [1, 1, 0], [n_layers - 1, 2, 1], [0, 3, 1], [1, 0, 1], [0, 1, 0]])
        made = attribution_result(normal(seed, N, 3, n_layers, 8, 2), top=3, cells=cells)
        return replace(made, unit=unit)

    def probed(seed, joint=False):
        shape = (1, n_layers, 1, a, N) if joint else (2, n_layers, a, a, N)
        guesses = (random(seed, *shape) < 0.7).astype(int)
        labels = np.tile(np.arange(a), (N, 1)) if joint else (random(seed, N, a) < 0.3).astype(int)
        trained_on = ("all",) if joint else codes
        return probe_result(guesses, labels, joint=joint, languages=codes, trained_on=trained_on)

    def lens(seed):
        shape = (N, a, n_layers, a)
        made = random_lens_result(N, n_layers, seed)
        return replace(
            made,
            languages=codes,
            overlap=np.zeros((N, a, a), dtype=bool),
            clean=np.ones((N, a), dtype=bool),
            probability=(random(seed, *shape) / 3).astype(np.float32),
            rank=np.ones(shape, dtype=np.int32),
            mass=(random(seed, *shape) / 9).astype(np.float32),
            mass_tokens=(5,) * a,
            entropy=random(seed, N, a, n_layers).astype(np.float32),
            energy=random(seed, N, a, n_layers).astype(np.float32),
        )

    scripts = tuple(LANGUAGES[code].script for code in codes)
    return {
        "neurons": lambda s: replace(neurons(random(s, a, n_layers, 10), seed=s), languages=codes),
        "heads": lambda s: replace(heads(random(s, a, n_layers, 8)), languages=codes),
        "ablation": lambda s: replace(ablation_result(normal(s, a, N, a), seed=s), languages=codes),
        "routing": lambda s: replace(
            routing_result(normal(s, N, a, n_layers, 9)), languages=codes, scripts=scripts
        ),
        "alignment": lambda s: alignment_result(
            normal(s, n_layers, N, 1, 16) + 0.5 * normal(s + 50, n_layers, N, a, 16), codes
        ),
        "behavior": lambda s: _answers(random(s, N, a) < 0.6, codes, s),
        "lens": lens,
        "patching": patched,
        "patching heads": lambda s: patched(s, tuple(map(str, range(8))), ("subject_last", "last")),
        "patching positions": lambda s: patched(s, positions=tuple(f"subject_{i}" for i in range(9))),
        "attribution heads": lambda s: estimated(s, "heads"),
        "attribution neurons": lambda s: estimated(s, "neurons"),
        "probes": probed,
        "probes joint": lambda s: probed(s, joint=True),
    }


def _answers(right, codes, seed):
    spelled = tuple(("Peru",) * len(codes) for _ in right)
    made = behavior_result(right[:, :3], seed)
    scores = np.repeat(made.log_probability[:, :1], len(codes), axis=1)
    scores[~right] = -scores[~right]
    ones = np.ones(scores.shape, dtype=np.int64)
    return replace(
        made, languages=codes, golds=spelled, log_probability=scores, tokens=ones, characters=ones, bytes=ones
    )
