"""Peak memory of a fresh process: the bare forward pass, or the neuron count over some number of batches.

``python -m tests.benchmarks.memory count 400`` prints the peak resident size in bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from interp.measure.specialization.activations import NeuronCounter
from tests.benchmarks.workload import LANGUAGES, N_BLOCKS, SHAPE, make_batch, make_model

N_ITEMS, LENGTH = 16, 64


def peak_bytes(kind: str, batches: int) -> int:
    """Peak resident size of a process of its own; kind is 'bare' or 'count'.

    glibc is told to give every freed tensor back at once; otherwise its heap, not the tensors, decides the
    peak.
    """
    command = [sys.executable, "-m", "tests.benchmarks.memory", kind, str(batches)]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(done.stdout.split()[-1])


def measure_memory(few: int = 50, many: int = 400) -> dict[str, int]:
    """Peaks in bytes, beside what the count may hold: its totals, and one layer's gates as 0/1 (bool and
    float32)."""
    cells = len(LANGUAGES) * N_BLOCKS
    totals = cells * SHAPE["num_hidden_layers"] * SHAPE["intermediate_size"] * 4
    gates = N_ITEMS * LENGTH * SHAPE["intermediate_size"] * (1 + 4)
    return {
        "few_batches": few,
        "many_batches": many,
        "bare": peak_bytes("bare", few),
        "count_few": peak_bytes("count", few),
        "count_many": peak_bytes("count", many),
        "totals": totals,
        "one_layer": gates,
    }


def _peak_of_this_process() -> int:
    """From Linux's /proc: getrusage would start from the peak of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@torch.no_grad()
def _run(kind: str, batches: int) -> None:
    loaded = make_model("qwen2")
    counter = NeuronCounter(loaded, make_batch(1, 1)[0]) if kind == "count" else None
    for seed in range(batches):
        _, batch = make_batch(N_ITEMS, LENGTH, seed)
        if counter:
            counter.add(batch)
        else:
            loaded.architecture.body(**batch.inputs())


if __name__ == "__main__":
    torch.set_num_threads(1)
    _run(sys.argv[1], int(sys.argv[2]))
    print(_peak_of_this_process())
