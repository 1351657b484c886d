"""Measure what the measures cost beside the bare forward pass and beside other libraries, and write the
numbers down.

``python -m tests.benchmarks.bench_specialization [--repeats 15]`` compares the outputs first and stops if
they differ.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interp.measure.specialization.activations import NeuronCounter
from interp.measure.specialization.heads import FrozenHeads
from interp.model.hooks import reading
from interp.model.loading import LoadedModel
from interp.model.sites import Site
from interp.model.tokens import Batch, EncodedPrompts
from tests.benchmarks.memory import measure_memory
from tests.benchmarks.peers import LensCounts, NnsightCounts, OneByOne
from tests.benchmarks.readme import as_markdown
from tests.benchmarks.timing import interleave, paired
from tests.benchmarks.workload import FAMILIES, make_batch, make_model

HERE = Path(__file__).parent
NEURON_SHAPE = (16, 64)  # items, tokens each
HEAD_SHAPES = ((16, 64), (64, 16))  # 1,024 tokens each
_PACKAGES = ("torch", "transformers", "transformer-lens", "nnsight", "numpy")


def main() -> None:
    """Run everything and write results/specialization.json and README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loads = [os.getloadavg()[0]]
    neurons, heads = [], []
    for family in FAMILIES:
        loaded = make_model(family)
        neurons.append({"family": family, **bench_neurons(loaded, options.repeats)})
        heads += [{"family": family, **bench_heads(loaded, shape, options.repeats)} for shape in HEAD_SHAPES]
        print(
            json.dumps(
                [neurons[-1]["ratios"], [h["ratios"] for h in heads if h["family"] == family]], indent=1
            )
        )
    loads.append(os.getloadavg()[0])
    results = {
        "machine": describe_machine(options.threads, loads),
        "repeats": options.repeats,
        "neurons": neurons,
        "heads": heads,
        "memory": measure_memory(),
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "specialization.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "README.md").write_text(as_markdown(results))
    print(as_markdown(results))


def bench_neurons(loaded: LoadedModel, repeats: int) -> dict[str, Any]:
    """The neuron pass over the bare decoder, and the same counts in TransformerLens and nnsight."""
    encoded, batch = make_batch(*NEURON_SHAPE)
    counter = NeuronCounter(loaded, encoded)
    lens, nnsight = LensCounts(loaded, batch), NnsightCounts(loaded, batch)
    candidates: dict[str, Callable[[], object]] = {
        "bare": lambda: _bare(loaded, batch),
        "ours": lambda: counter.add(batch),
        "transformer_lens": lens.run,
        "nnsight": nnsight.run,
    }
    _round(candidates)
    doubtful = _doubtful(loaded, encoded, batch)
    differing = {
        name: _differing(counter, peer, doubtful)
        for name, peer in (("transformer_lens", lens), ("nnsight", nnsight))
    }
    pairs = (
        ("ours", "bare"),
        ("transformer_lens", "ours"),
        ("nnsight", "ours"),
        ("transformer_lens", "bare"),
        ("nnsight", "bare"),
    )
    return {"shape": NEURON_SHAPE, "cells_that_differ": differing, **_timed(candidates, pairs, repeats)}


def bench_heads(loaded: LoadedModel, shape: tuple[int, int], repeats: int) -> dict[str, Any]:
    """All items in one backward, over one item per backward with frozen weights and with weight gradients."""
    encoded, batch = make_batch(*shape)
    frozen = OneByOne(loaded, batch, parameter_gradients=False)
    naive = OneByOne(loaded, batch, parameter_gradients=True)
    ones = torch.ones(shape[0], loaded.architecture.n_layers, loaded.architecture.n_heads)
    ours = FrozenHeads(loaded, encoded)
    candidates: dict[str, Callable[[], object]] = {
        "ours": lambda: ours.add(batch),
        "frozen": frozen.run,
        "naive": naive.run,
    }
    _round(candidates)
    gradients = FrozenHeads(loaded, encoded)._gradients(batch, ones)
    errors = {
        name: _relative(gradients, peer.gradients) for name, peer in (("frozen", frozen), ("naive", naive))
    }
    if max(errors.values()) > 1e-5:
        raise SystemExit(f"head gradients differ: {errors}")
    timed = _timed(candidates, (("frozen", "ours"), ("naive", "ours")), repeats)
    return {"shape": shape, "relative_difference": errors, **timed}


def describe_machine(threads: int, loads: list[float]) -> dict[str, Any]:
    """Where and with what the numbers were made."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "date": datetime.date.today().isoformat(),
        "commit": _git("rev-parse", "--short=12", "HEAD")
        + (" + changes" if _git("status", "--porcelain") else ""),
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before_and_after": loads,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


@torch.no_grad()
def _bare(loaded: LoadedModel, batch: Batch) -> None:
    loaded.architecture.body(input_ids=batch.ids, use_cache=False)


def _round(candidates: dict[str, Callable[[], object]]) -> None:
    """Run each once, so that there is something to compare."""
    for run in candidates.values():
        run()


def _timed(
    candidates: dict[str, Callable[[], object]], pairs: tuple[tuple[str, str], ...], repeats: int
) -> dict[str, Any]:
    cpu, wall = interleave(candidates, repeats)
    return {
        "ratios": {f"{a}/{b}": paired(cpu, a, b) for a, b in pairs},
        "wall_ratios": {f"{a}/{b}": paired(wall, a, b) for a, b in pairs},
        "median_cpu_ms": {name: 1000 * statistics.median(seconds) for name, seconds in cpu.items()},
    }


@torch.no_grad()
def _doubtful(loaded: LoadedModel, encoded: EncodedPrompts, batch: Batch) -> np.ndarray:
    """Tokens whose gate is within rounding of zero: no two attention implementations need agree on them."""
    architecture = loaded.architecture
    shape = (len(encoded.languages), encoded.n_blocks, architecture.n_layers, architecture.n_neurons)
    found = np.zeros(shape, dtype=np.int64)

    def look(value: torch.Tensor, site: Site) -> None:
        near = (value.abs() < 1e-5 * value.abs().max()).sum(dim=1).numpy()
        for row, item in enumerate(batch.items):
            found[item.language, item.block, site.layer] += near[row]

    sites = [Site("mlp_gate", layer) for layer in range(architecture.n_layers)]
    with reading(architecture, dict.fromkeys(sites, look)):
        architecture.body(**batch.inputs())
    return found


def _differing(counter: NeuronCounter, peer: Any, doubtful: np.ndarray) -> int:
    """Cells in which a peer's count differs, all of them by doubtful tokens."""
    difference = np.abs(counter.counts().astype(np.int64) - peer.counts())
    if (difference > doubtful).any():
        raise SystemExit(
            f"{type(peer).__name__}: counts differ by more than rounding, at most {difference.max()}"
        )
    return int((difference > 0).sum())


def _relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False
    ).stdout.strip()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # third parties' deprecations; the tests see them
    main()
