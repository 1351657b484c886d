"""results/specialization.json -> README.md, so that no number is typed by hand."""

from __future__ import annotations

from typing import Any

_MB = 1e6
_TARGETS = {
    "ours/bare": ("at most", 1.10),
    "transformer_lens/ours": ("at least", 1.2),
    "heads": ("at least", 4.0),
}
_NEURON_ROWS = {
    "ours/bare": "neuron pass / bare decoder",
    "transformer_lens/ours": "TransformerLens `run_with_hooks`, same count / neuron pass",
    "nnsight/ours": "nnsight, same count, stopped before the unembedding / neuron pass",
}
_HEAD_ROWS = {
    "frozen/ours": "one item per backward, frozen weights / one backward",
    "naive/ours": "one item per backward, weight gradients too / one backward",
}


def as_markdown(results: dict[str, Any]) -> str:
    """The whole README."""
    lines = [
        "# Benchmarks",
        "",
        "    python -m tests.benchmarks.bench_specialization --repeats "
        f"{results['repeats']} --threads {results['machine']['threads']}",
        "",
        "Written by that command from `results/specialization.json`; do not edit. It is not part of the "
        "test run.",
        "",
        "Random weights, float32: 8 layers, d = 256, 8 heads over 2 key/value heads, 1,024 neurons per "
        "layer, vocabulary 8,000.",
        "Ratios of process CPU time, paired within a repeat, all candidates interleaved: median [least, "
        "greatest].",
        "Outputs are compared before anything is timed.",
        "",
        *_machine(results["machine"]),
        "",
        "## Neuron counts",
        "",
        "One batch of 16 x 64 tokens that mixes 12 languages and 8 blocks, no padding. The bare decoder "
        "has no unembedding",
        "and no cache. The peers get the same matrix product for counting, prepared in advance.",
        "",
        *_neurons(results["neurons"]),
        "",
        "## Head importance",
        "",
        "1,024 tokens. The gradients are compared first: the relative difference is the largest one over "
        "the largest value.",
        "The target is stated for 16 x 64 and meant for both forms of the peer.",
        "",
        *_heads(results["heads"]),
        "",
        "Frozen weights leave 2 multiplications per weight and token, one forward and one backward, "
        "whatever the batch; so where",
        "the time is arithmetic, as for 64 tokens of this model on a CPU core, batching saves the overhead "
        "of the operations and",
        "no more. It gains as that overhead weighs more, as the shorter items show.",
        "",
        "## Memory",
        "",
        *_memory(results["memory"]),
        "",
    ]
    return "\n".join(lines)


def _machine(machine: dict[str, Any]) -> list[str]:
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    loads = " and ".join(f"{load:.1f}" for load in machine["load_before_and_after"])
    return [
        f"{machine['date']}, commit {machine['commit']}. {machine['cpu']}, {machine['cores']} cores; "
        f"threads used: {machine['threads']}; load average before and after: {loads}. Python "
        f"{machine['python']}, {packages}.",
    ]


def _neurons(rows: list[dict[str, Any]]) -> list[str]:
    table = ["| | | target | CPU time | met |", "|---|---|---|---|---|"]
    for row in rows:
        for key, text in _NEURON_ROWS.items():
            table.append(f"| {row['family']} | {text} | {_verdict(key, row['ratios'][key])} |")
    differing = "; ".join(
        f"{row['family']}: {peer} {cells}" for row in rows for peer, cells in row["cells_that_differ"].items()
    )
    return [
        *table,
        "",
        f"Counts that differ, all by tokens within rounding of zero, of 131,072: {differing}.",
    ]


def _heads(rows: list[dict[str, Any]]) -> list[str]:
    table = [
        "| | items x tokens | | target | CPU time | met | relative difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        items, length = row["shape"]
        for key, text in _HEAD_ROWS.items():
            verdict = _verdict("heads" if length == 64 else "", row["ratios"][key])
            error = row["relative_difference"][key.split("/")[0]]
            table.append(f"| {row['family']} | {items} x {length} | {text} | {verdict} | {error:.0e} |")
    return table


def _memory(memory: dict[str, int]) -> list[str]:
    few, many = memory["few_batches"], memory["many_batches"]
    return [
        "Peak resident size of fresh processes (Linux, VmHWM), qwen2, 16 x 64 tokens per batch, one thread.",
        "",
        "| | MB |",
        "|---|---|",
        f"| bare decoder, {few} batches | {memory['bare'] / _MB:.1f} |",
        f"| neuron pass, {few} batches | {memory['count_few'] / _MB:.1f} |",
        f"| neuron pass, {many} batches | {memory['count_many'] / _MB:.1f} |",
        f"| allowed beside the bare decoder: totals {memory['totals'] / _MB:.1f}, one layer's gates as 0/1 "
        f"{memory['one_layer'] / _MB:.1f}, allocator and code 4.0 | "
        f"{(memory['totals'] + memory['one_layer']) / _MB + 4:.1f} |",
        f"| found beside it | {(memory['count_many'] - memory['bare']) / _MB:.1f} |",
        f"| found for {many - few} more batches (allowed: 3.0) | "
        f"{(memory['count_many'] - memory['count_few']) / _MB:.1f} |",
    ]


def _verdict(key: str, ratio: dict[str, float]) -> str:
    """Target, ratio and whether the median meets it, as cells of a table."""
    text = f"{ratio['median']:.2f} [{ratio['min']:.2f}, {ratio['max']:.2f}]"
    if key not in _TARGETS:
        return f"| {text} | "
    side, bound = _TARGETS[key]
    met = ratio["median"] <= bound if side == "at most" else ratio["median"] >= bound
    return f"{side} {bound:.2f} | {text} | {'yes' if met else 'no'}"
