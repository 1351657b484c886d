"""What attributions of all heads and neurons cost beside one plain forward and backward of the same batch,
and write it down.

``python -m tests.benchmarks.bench_attribution [--repeats 9] [--threads 1]``
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from interp.measure.attributions import attributions
from interp.measure.contrasts import Contrast, contrast_metric
from interp.model.loading import LoadedModel
from interp.model.sites import Site
from interp.model.tokens import Batch
from tests.benchmarks.bench_specialization import describe_machine
from tests.benchmarks.timing import interleave, paired
from tests.benchmarks.workload import FAMILIES, make_batch, make_model

HERE = Path(__file__).parent
SHAPES = ((16, 64), (64, 16))  # questions, tokens
WRONG = 3  # options beside the right one
UNITS = ("heads", "neurons")


def main() -> None:
    """Run it and write results/attribution.json and attribution.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loads = [os.getloadavg()[0]]
    families = {
        family: {
            f"{n} x {length}": bench(make_model(family), n, length, options.repeats) for n, length in SHAPES
        }
        for family in FAMILIES
    }
    loads.append(os.getloadavg()[0])
    results = {
        "machine": describe_machine(options.threads, loads),
        "repeats": options.repeats,
        "families": families,
    }
    (HERE / "results" / "attribution.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "attribution.md").write_text(as_markdown(results))
    print(as_markdown(results))


def bench(
    loaded: LoadedModel, n_items: int, length: int, repeats: int
) -> dict[str, dict[str, float] | float]:
    """Ratio of process CPU time, and how far the numbers are from those of plain hooks, relative to the
    largest."""
    batch = make_batch(n_items, length)[1]
    contrasts = make_contrasts(batch, loaded.n_embeddings)
    apart = distance(loaded, batch, contrasts)
    if apart > 1e-4:
        raise SystemExit(f"attributions differ by {apart} of the largest")
    candidates = {
        "plain": lambda: plain(loaded, batch, contrasts),
        "ours": lambda: attributions(loaded, contrasts, UNITS),
    }
    cpu, _ = interleave(candidates, repeats)
    return {**paired(cpu, "ours", "plain"), "largest_difference": apart}


def make_contrasts(batch: Batch, vocabulary: int) -> list[Contrast]:
    """Each question's right answer against three wrong ones at its last token."""
    random = np.random.default_rng(0)
    last = (batch.ids.shape[1] - 1,) * WRONG
    return [
        Contrast(item, last, (int(right),) * WRONG, tuple(wrong.tolist()))
        for item in batch.items
        for right, *_ in [random.integers(vocabulary, size=1)]
        for wrong in [random.integers(vocabulary, size=WRONG)]
    ]


def plain(loaded: LoadedModel, batch: Batch, contrasts: Sequence[Contrast]) -> torch.Tensor:
    """One forward and one backward to the embeddings, with frozen parameters: what a gradient costs at the
    least."""
    embedded = loaded.model.get_input_embeddings()(batch.ids).requires_grad_(True)
    with torch.enable_grad():
        hidden = loaded.architecture.body(
            inputs_embeds=embedded, attention_mask=batch.attention, use_cache=False
        ).last_hidden_state
        total = contrast_metric(loaded, contrasts, hidden).sum()
    return torch.autograd.grad(total, embedded)[0]


def distance(loaded: LoadedModel, batch: Batch, contrasts: Sequence[Contrast]) -> float:
    """Largest difference from gradients by plain hooks on the modules, relative to the largest
    attribution."""
    kept: dict[Site, torch.Tensor] = {}

    def keep(_: object, inputs: tuple[torch.Tensor], site: Site) -> None:
        kept[site] = inputs[0]

    handles = []
    for number, layer in enumerate(loaded.model.model.layers):
        for name, module in (("head", layer.self_attn.o_proj), ("mlp_neuron", layer.mlp.down_proj)):
            handles.append(module.register_forward_pre_hook(partial(keep, site=Site(name, number))))
    embedded = loaded.model.get_input_embeddings()(batch.ids).requires_grad_(True)
    with torch.enable_grad():
        hidden = loaded.architecture.body(inputs_embeds=embedded, use_cache=False).last_hidden_state
        total = contrast_metric(loaded, contrasts, hidden).sum()
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(total, list(kept.values()))
    _, ours = attributions(loaded, contrasts, UNITS)
    found = []
    for (site, value), gradient in zip(kept.items(), gradients, strict=True):
        each = (value * gradient).sum(dim=1)  # over tokens
        if site.name == "head":
            each = each.view(len(each), loaded.architecture.n_heads, -1).sum(dim=-1)
        found.append(float(((each - ours[site]).abs().max() / each.abs().max()).detach()))
    return max(found)


def as_markdown(results: dict) -> str:
    """The page beside the numbers."""
    machine = results["machine"]
    rows = [
        f"| {family}, {shape} | {r['median']:.2f} [{r['min']:.2f}, {r['max']:.2f}] | "
        f"{r['largest_difference']:.0e} |"
        for family, shapes in results["families"].items()
        for shape, r in shapes.items()
    ]
    return "\n".join(
        [
            "# Attribution",
            "",
            f"    python -m tests.benchmarks.bench_attribution --repeats {results['repeats']} --threads "
            f"{machine['threads']}",
            "",
            "Written by that command from `results/attribution.json`; do not edit. Random weights, "
            "float32: 8 layers, d = 256, 8 heads",
            "and 1,024 neurons per layer. Attributions of all heads and neurons of all questions, summed "
            "over tokens, over one forward",
            "and one backward of the same batch to its embeddings, parameters frozen in both (target: at "
            "most 1.10). Process CPU time,",
            "paired within a repeat, interleaved: median [least, greatest]. The difference is from plain "
            "hooks on the modules.",
            "",
            f"{machine['date']}, commit {machine['commit']}. {machine['cpu']}, {machine['cores']} cores; "
            f"threads used: {machine['threads']}; load average before and after: "
            f"{machine['load_before_and_after'][0]:.1f} and {machine['load_before_and_after'][1]:.1f}.",
            "",
            "| model, questions x tokens | attributions / forward and backward | largest relative "
            "difference |",
            "|---|---:|---:|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
