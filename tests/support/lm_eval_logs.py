"""Runs of the lm-evaluation-harness as it logs them, made from exported tasks without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml

DATE = "2026-11-21T12-26-59.101793"
RESULTS = {
    "config": {"model": "hf", "model_args": {"pretrained": "hub/model"}, "model_dtype": "torch.float32"},
    "max_length": 4096,
    "lm_eval_version": "0.4.13",
    "model_name": "hub/model",
}

Score = Callable[[dict, str], float]


class TaskLoader(yaml.SafeLoader):
    """Reads a task; a function stands as its name."""


TaskLoader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read_task(file: Path) -> dict:
    return yaml.load(file.read_text(encoding="utf-8"), TaskLoader)


def documents(tasks: Path, language: str) -> list[dict]:
    (file,) = tasks.glob(f"*_{language}.jsonl")
    return read_rows(file)


def sample(number: int, document: dict, separator: str, score: Score) -> dict:
    """One line of samples, with the fields that the harness writes."""
    options = document["options"]
    responses = [[str(score(document, option)), "False"] for option in options]
    return {
        "doc_id": number,
        "doc": document,
        "target": str(document["gold"]),
        "arguments": {
            f"gen_args_{i}": {"arg_0": document["prompt"], "arg_1": separator + option}
            for i, option in enumerate(options)
        },
        "resps": [[response] for response in responses],
        "filtered_resps": responses,
        "filter": "none",
        "metrics": ["acc", "acc_norm", "acc_bytes"],
    }


def log_run(tasks: Path, folder: Path, score: Score, results: dict | None = RESULTS) -> dict[str, Path]:
    """Write what a run of all tasks logs; language to file of samples."""
    folder.mkdir(parents=True, exist_ok=True)
    if results is not None:
        (folder / f"results_{DATE}.json").write_text(json.dumps(results))
    files = {}
    for task in sorted(tasks.glob("*_*_*.yaml")):
        code = task.stem.rpartition("_")[2]
        separator = read_task(task)["target_delimiter"]
        rows = [sample(i, each, separator, score) for i, each in enumerate(documents(tasks, code))]
        files[code] = write_samples(folder / f"samples_{task.stem}_{DATE}.jsonl", rows)
    return files


def write_samples(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def read_rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
