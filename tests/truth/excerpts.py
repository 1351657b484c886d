"""What is quoted of published files: ``python -m tests.truth.excerpts`` writes tests/truth/published anew
from them.

A file of option scores is quoted by the order of the options in each item, from which accuracy, agreement,
RankC and their bootstrap follow to the last digit; a matrix of head importance by its largest entries; a
selection of neurons by a few layers; the data set itself by some of its facts.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np

from tests.support.published import EXCERPTS, full, read_full

LITE = ("OLMo-2-1124-7B", "olmo-2-7b-wikifact-sft", "Qwen-2.5-7B-TED")
LAHIS = ("olmo-base", "olmo-sft-10k")
POLYFACT = ("en", "fr", "de", "ar")
N_HEADS, LAPE_LAYERS, N_FACTS = 24, ("1", "8", "22", "24"), 12
LEFT_OUT = ("P495", "P136", "P19")  # relations that the curated release leaves out as ambiguous
_ORDERS = ["".join(map(str, order)) for order in itertools.permutations(range(4))]
_LETTERS = dict(zip(_ORDERS, "abcdefghijklmnopqrstuvwx", strict=True))
TRUNCATED = "-"  # no option has a score


def order_letters(scores: np.ndarray) -> list[str]:
    """Scores [fact, language, option] as a letter per item: which of the 24 orders, best option first."""
    order = np.argsort(-scores, axis=2, kind="stable")
    cut = scores.max(axis=2) <= -1e9
    return [
        "".join(
            TRUNCATED if cut[f, i] else _LETTERS["".join(map(str, order[f, i]))] for f in range(len(scores))
        )
        for i in range(scores.shape[1])
    ]


def scores_of(letters: list[str]) -> np.ndarray:
    """Scores [fact, language, option] in the orders of the letters: 0 for the best, then -1, -2 and -3."""
    orders = {letter: order for order, letter in _LETTERS.items()}
    scores = np.full((len(letters[0]), len(letters), 4), -1e9)
    for i, column in enumerate(letters):
        for f, letter in enumerate(column):
            if letter != TRUNCATED:
                scores[f, i, [int(option) for option in orders[letter]]] = -np.arange(4.0)
    return scores


def quote_lite(name: str) -> dict[str, Any]:
    """Orders and correctness of every item, by language and in the order of fact ids, and the stored
    aggregates."""
    data = read_full(f"global_mmlu_lite/{name}.json")
    languages, facts = list(data["per_language_accuracy"]), sorted(data.pop("predictions").items())
    scores = np.array([[fact[code]["scores"] for code in languages] for _, fact in facts], dtype=float)
    correct = ["".join(str(int(fact[code]["correct"])) for _, fact in facts) for code in languages]
    return {**data, "orders": order_letters(scores), "correct": correct}


def quote_heads(name: str) -> dict[str, Any]:
    """The largest entries of each language's matrix: layer, head and importance."""
    with np.load(full(f"lahis/{name}.npz")) as archive:
        matrices = {code: archive[code] for code in archive.files}
    largest = {}
    for code, matrix in matrices.items():
        order = np.argsort(-matrix, axis=None, kind="stable")[:N_HEADS]
        cells = zip(*np.unravel_index(order, matrix.shape), strict=True)
        largest[code] = [
            [int(layer), int(head), float(f"{matrix[layer, head]:.7g}")] for layer, head in cells
        ]
    return {"shape": list(matrix.shape), "largest": largest}


def quote_neurons(name: str) -> dict[str, Any]:
    """The neurons of some layers, by language."""
    selected = read_full(f"lape/{name}.neurons.json")
    meta = read_full(f"lape/{name}.meta.json")
    return {
        "shape": [meta["num_layers"], meta["intermediate_size"]],
        "neurons": {layer: selected[layer] for layer in LAPE_LAYERS if layer in selected},
    }


def quote_summary(name: str) -> dict[str, Any]:
    """Accuracies, the histogram of right languages, and RankC of every pair."""
    data = read_full(f"summaries/{name}_polyfact_clean_consistency.json")
    return {key: data[key] for key in ("per_language_accuracy", "total_consistency", "rankc")}


def quote_facts() -> tuple[dict[str, list[dict]], dict[str, dict]]:
    """Facts of the data set as it is published, by language, and the places of their options in English."""
    alignment = read_full("polyfact_samples/alignment_full.json")
    items = {code: read_full(f"polyfact_samples/{code}.json")["items"] for code in POLYFACT}
    ids = [item["fact_id"] for item in items["en"] if item["fact_id"].split("|")[1] not in LEFT_OUT]
    ids = ids[:N_FACTS]
    keys = ("fact_id", "language", "subject", "relation", "object", "question", "options")
    keys = (*keys, "answer_text", "answer_index")
    quoted = {
        code: [{key: item[key] for key in keys} for item in rows if item["fact_id"] in ids]
        for code, rows in items.items()
    }
    return quoted, {i: {code: alignment[i][code] for code in POLYFACT} for i in ids}


def excerpts() -> dict[str, Any]:
    """Every excerpt by its file."""
    facts, alignment = quote_facts()
    return {
        "polyfact/alignment.json": alignment,
        **{f"polyfact/{code}.json": rows for code, rows in facts.items()},
        **{f"global_mmlu_lite/{name}.json": quote_lite(name) for name in LITE},
        **{f"lahis/{name}.json": quote_heads(name) for name in LAHIS},
        "lape/olmo-base.json": quote_neurons("olmo-base"),
        "polyfact_clean/olmo-base.json": quote_summary("olmo-base"),
    }


def in_lines(content: dict | list) -> str:
    """JSON with a line for each entry."""
    if isinstance(content, dict):
        entries = [
            f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items()
        ]
        return "{\n" + ",\n".join(entries) + "\n}\n"
    return "[\n" + ",\n".join(json.dumps(value, ensure_ascii=False) for value in content) + "\n]\n"


def main() -> None:
    """Write the excerpts."""
    for name, content in excerpts().items():
        file = EXCERPTS / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(in_lines(content), encoding="utf-8")
        print(f"{file.stat().st_size:8,d} bytes  {name}")


if __name__ == "__main__":
    main()
