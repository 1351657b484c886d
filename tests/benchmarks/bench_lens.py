"""What the lens costs beside the bare decoder, and beside TransformerLens's at equal numbers, and write it
down.

``python -m tests.benchmarks.bench_lens [--repeats 9] [--threads 1]``
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from interp.measure.lens.lens import LensReader
from interp.model.interop import to_transformer_lens
from interp.model.loading import LoadedModel
from interp.model.tokens import Batch, EncodedPrompts
from tests.benchmarks.bench_specialization import describe_machine
from tests.benchmarks.timing import interleave, paired
from tests.benchmarks.workload import FAMILIES, LANGUAGES, make_batch, make_model, rectangle

HERE = Path(__file__).parent
SHAPES = ((16, 64), (64, 16))  # prompts, tokens
PREFIXES = 6  # tokens that begin a word
LEXICON = 100  # tokens that speak for a language whatever the answer


def main() -> None:
    """Run it and write results/lens.json and lens.md."""
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
    (HERE / "results" / "lens.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "lens.md").write_text(as_markdown(results))
    print(as_markdown(results))


def bench(loaded: LoadedModel, n_items: int, length: int, repeats: int) -> dict[str, dict[str, float]]:
    """Ratios of process CPU time, and how far the numbers are apart."""
    batch = read_last(make_batch(n_items, length)[1])
    random = np.random.default_rng(0)
    words = random.choice(
        loaded.n_embeddings, size=(n_items, len(LANGUAGES), PREFIXES), replace=True
    ).tolist()
    one = [
        [frozenset({tokens[0]}) for tokens in words[0]]
    ] * n_items  # the same for all rows, one token per language
    encoded = EncodedPrompts(LANGUAGES, 1, batch.items)
    sets = [[frozenset(tokens) for tokens in row] for row in words]
    lexicon = (
        random.permutation(loaded.n_embeddings)[: LEXICON * len(LANGUAGES)].reshape(-1, LEXICON).tolist()
    )
    wide = LensReader(loaded, encoded, sets, lexicon)
    narrow = LensReader(loaded, encoded, one)
    peer = PeerLens(loaded, batch, [tokens[0] for tokens in words[0]])
    apart = peer.distance(narrow)
    if apart["probability"] > 1e-4 or apart["rank"] > 1:
        raise SystemExit(f"the two lenses differ: {apart}")

    @torch.no_grad()
    def bare() -> None:
        loaded.architecture.body(**batch.inputs())

    @torch.no_grad()
    def whole() -> None:
        loaded.model(**batch.inputs())

    candidates = {
        "bare": bare,
        "whole": whole,
        "sets": lambda: wide.add(batch),
        "ours": lambda: narrow.add(batch),
        "peer": peer.run,
    }
    cpu, _ = interleave(candidates, repeats)
    return {
        "lens_over_bare": paired(cpu, "sets", "bare"),
        "lens_over_whole": paired(cpu, "sets", "whole"),
        "peer_over_ours": paired(cpu, "peer", "ours"),
        "largest_difference": apart,
    }


def read_last(batch: Batch) -> Batch:
    """The same prompts, all of the first language, of which the last token is read."""
    return rectangle(
        tuple(replace(item, language=0, counted=(*(False,) * (len(item) - 1), True)) for item in batch.items)
    )


class PeerLens:
    """TransformerLens's logit_lens on the same prompts: one token per language, the same for every prompt."""

    def __init__(self, loaded: LoadedModel, batch: Batch, targets: list[int]):
        from transformer_lens.tools.analysis import logit_lens

        self._lens = logit_lens
        self.bridge = to_transformer_lens(loaded)
        self.batch = batch
        self.targets = targets

    @torch.no_grad()
    def run(self):
        """Probability, rank and entropy at the last position of every layer."""
        return self._lens(self.bridge, self.batch.ids, targets=self.targets, return_type="probs")

    def distance(self, reader: LensReader) -> dict[str, float]:
        """Largest differences between our numbers and theirs; of ranks the median one, since rounding swaps
        neighbors."""
        reader.add(self.batch)
        ours, theirs = reader.state(), self.run()
        rank = theirs.readout.target_ranks.numpy().swapaxes(0, 1) + 1
        return {
            "probability": float(
                np.abs(ours["probability"][:, 0] - theirs.values.numpy().swapaxes(0, 1)).max()
            ),
            "entropy": float(np.abs(ours["entropy"][:, 0] - theirs.readout.entropy.numpy().T).max()),
            "rank": float(np.median(np.abs(ours["rank"][:, 0] - rank))),
        }


def as_markdown(results: dict) -> str:
    """The page beside the numbers."""
    machine = results["machine"]

    def shown(ratio: dict[str, float]) -> str:
        return f"{ratio['median']:.2f} [{ratio['min']:.2f}, {ratio['max']:.2f}]"

    rows = [
        f"| {family}, {shape} | {shown(r['lens_over_bare'])} | {shown(r['lens_over_whole'])} | "
        f"{shown(r['peer_over_ours'])} | {r['largest_difference']['probability']:.0e} |"
        for family, shapes in results["families"].items()
        for shape, r in shapes.items()
    ]
    return "\n".join(
        [
            "# The lens",
            "",
            f"    python -m tests.benchmarks.bench_lens --repeats {results['repeats']} --threads "
            f"{machine['threads']}",
            "",
            "Written by that command from `results/lens.json`; do not edit. Random weights, float32: 8 "
            "layers, d = 256, a",
            "vocabulary of 8,000. At the last token of every prompt and at all 9 depths: probability and "
            f"rank of {len(LANGUAGES)} words of",
            f"{PREFIXES} tokens each, the mass of {LEXICON} tokens per language, entropy and token energy. "
            "Process CPU time over that of",
            "the bare decoder, which computes no logits (target: at most 1.15), and over that of the model "
            "as it is, which computes",
            "them at every token; and of TransformerLens's `logit_lens` over ours, both with one token per "
            "word (target: above 1). Paired within",
            "a repeat, interleaved: median [least, greatest].",
            "",
            f"{machine['date']}, commit {machine['commit']}. {machine['cpu']}, {machine['cores']} cores; "
            f"threads used: {machine['threads']}; load average before and after: "
            f"{machine['load_before_and_after'][0]:.1f} and {machine['load_before_and_after'][1]:.1f}.",
            "",
            "| model, prompts x tokens | lens / bare decoder | lens / model | TransformerLens / ours | "
            "largest difference of a probability |",
            "|---|---:|---:|---:|---:|",
            *rows,
            "",
            "A prompt of 16 tokens is unembedded at 9 depths of its last token, more than half as often as "
            "it has tokens, so there",
            "the target is out of reach: computing the model's own logits at every token costs about as "
            "much.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
