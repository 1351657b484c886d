"""What one cache per question saves over one row per option, at equal scores, and write it down.

``python -m tests.benchmarks.bench_behavior [--repeats 9] [--threads 1]``
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch

from interp.measure.questions import Question, encode_questions, score_options
from interp.model.loading import LoadedModel
from tests.benchmarks.bench_specialization import describe_machine
from tests.benchmarks.timing import interleave, paired
from tests.benchmarks.workload import FAMILIES, make_model

HERE = Path(__file__).parent
QUESTIONS, PROMPT, OPTIONS, OPTION = 16, 40, 4, 6  # questions, tokens of each, options, tokens of each


def main() -> None:
    """Run it and write results/behavior.json and behavior.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loads = [os.getloadavg()[0]]
    families = {family: bench(make_model(family), options.repeats) for family in FAMILIES}
    loads.append(os.getloadavg()[0])
    results = {
        "machine": describe_machine(options.threads, loads),
        "repeats": options.repeats,
        "families": families,
    }
    (HERE / "results" / "behavior.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "behavior.md").write_text(as_markdown(results))
    print(as_markdown(results))


def bench(loaded: LoadedModel, repeats: int) -> dict[str, float]:
    """CPU time of one row per option over that of one cache per question, and how far the scores are
    apart."""
    random = np.random.default_rng(0)

    def tokens(n: int) -> tuple[int, ...]:
        return tuple(random.integers(loaded.n_embeddings, size=n).tolist())

    batch = [
        Question(i, 0, "made", tokens(PROMPT), tuple(tokens(OPTION) for _ in range(OPTIONS)))
        for i in range(QUESTIONS)
    ]

    def ours() -> np.ndarray:
        return np.concatenate(score_options(loaded, batch, encode_questions(loaded, batch)))

    apart = np.abs(ours() - one_row_per_option(loaded, batch)).max()
    if apart > 1e-4:
        raise SystemExit(f"scores differ by {apart}")
    candidates = {"ours": ours, "rows": lambda: one_row_per_option(loaded, batch)}
    cpu, _ = interleave(candidates, repeats)
    return {**paired(cpu, "rows", "ours"), "largest_difference": float(apart)}


@torch.no_grad()
def one_row_per_option(loaded: LoadedModel, batch: list[Question]) -> np.ndarray:
    """Prompt and option as a row of equal length, all in one batch; only the option's positions are
    unembedded."""
    rows = [(q.ids, option) for q in batch for option in q.options]
    ids = torch.tensor([a + b for a, b in rows], device=loaded.device)
    hidden = loaded.architecture.body(input_ids=ids, use_cache=False).last_hidden_state
    at = torch.tensor([(row, len(a) + i) for row, (a, b) in enumerate(rows) for i in range(len(b))])
    logged = loaded.architecture.unembed(hidden[at[:, 0], at[:, 1] - 1]).float().log_softmax(dim=-1)
    each = logged.gather(1, ids[at[:, 0], at[:, 1]].unsqueeze(1)).squeeze(1).double()
    return torch.zeros(len(rows), dtype=torch.float64).index_add_(0, at[:, 0], each).numpy()


def as_markdown(results: dict) -> str:
    """The page beside the numbers."""
    machine = results["machine"]
    rows = [
        f"| {family} | {r['median']:.2f} [{r['min']:.2f}, {r['max']:.2f}] | {r['largest_difference']:.0e} |"
        for family, r in results["families"].items()
    ]
    return "\n".join(
        [
            "# Multiple choice",
            "",
            f"    python -m tests.benchmarks.bench_behavior --repeats {results['repeats']} --threads "
            f"{machine['threads']}",
            "",
            "Written by that command from `results/behavior.json`; do not edit. Random weights, float32: 8 "
            f"layers, d = 256. {QUESTIONS} questions of",
            f"{PROMPT} tokens with {OPTIONS} options of {OPTION}. Process CPU time of one row per option "
            "over one cache per question (target: at least 2.2),",
            "paired within a repeat, interleaved: median [least, greatest]; both unembed only what is "
            "scored.",
            "",
            f"{machine['date']}, commit {machine['commit']}. {machine['cpu']}, {machine['cores']} cores; "
            f"threads used: {machine['threads']}; load average before and after: "
            f"{machine['load_before_and_after'][0]:.1f} and {machine['load_before_and_after'][1]:.1f}.",
            "",
            "| | ratio | largest difference of a score (nats) |",
            "|---|---:|---:|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
