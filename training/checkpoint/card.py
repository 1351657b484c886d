"""The card of a trained checkpoint: parent, data, resolved settings, versions, cost and evaluations."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from interp.config import to_plain
from interp.model.checkpoints import Checkpoint
from training.config import TrainConfig
from training.files import write_json

__all__ = ["RunRecord", "run_card", "write_run_card"]

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "safetensors")


@dataclass(frozen=True)
class RunRecord:
    """What a finished run was, and what it came to.

    Attributes:
        method: Its name on the command line.
        parent: The checkpoint it started from.
        config: Settings as given.
        resolved: Settings as they were resolved, such as the number of steps.
        data: Digests, languages and counts.
        parameters: Of the model.
        trained_parameters: Those that were trained.
        cost: Tokens, seconds and device-hours.
        device: What it ran on.
        evaluations: Summaries of all evaluations, in their order.
    """

    method: str
    parent: Checkpoint
    config: TrainConfig
    resolved: dict[str, Any]
    data: dict[str, Any]
    parameters: int
    trained_parameters: int
    cost: dict[str, float]
    device: str
    evaluations: Sequence[dict[str, Any]]


def run_card(record: RunRecord) -> dict[str, Any]:
    """Return the card as plain values."""
    settings = to_plain(record.config)
    return {
        "schema": 1,
        "method": record.method,
        "parent": {
            "checkpoint": record.parent.spec,
            "revision": record.parent.revision,
            "fingerprint": record.parent.fingerprint,
        },
        "config": {key: value for key, value in settings.items() if key not in ("out", "fresh")},
        "resolved": record.resolved,
        "data": record.data,
        "seed": record.config.seed,
        "parameters": record.parameters,
        "trained_parameters": record.trained_parameters,
        "cost": record.cost,
        "device": record.device,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "evaluations": _first_and_last(record.evaluations),
    }


def write_run_card(folder: Path, card: dict[str, Any]) -> None:
    """Write ``card.json`` for programs and ``README.md``, a Hugging Face model card, for people."""
    write_json(folder / "card.json", card)
    (folder / "README.md").write_text(_readme(card), encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _first_and_last(evaluations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first and the last evaluation of each split."""
    ends = []
    for split in dict.fromkeys(evaluation["split"] for evaluation in evaluations):
        of_split = [evaluation for evaluation in evaluations if evaluation["split"] == split]
        ends += [of_split[0], of_split[-1]] if len(of_split) > 1 else of_split
    return ends


def _readme(card: dict[str, Any]) -> str:
    cost, data = card["cost"], card["data"]
    listed = "\n".join(f"  - {code}" for code in data["languages"])
    rows = "\n".join(
        f"| {r['split']} | {r['step']} | {r['facts']} | {r['accuracy']:.3f} | {r['total_consistency']:.3f} "
        f"| {r['resolved']:.3f} | {r['empty']:.3f} |"
        for r in card["evaluations"]
    )
    settings = "\n".join(f"| {key} | {value} |" for key, value in card["config"].items())
    resolved = ", ".join(f"{key} {value}" for key, value in card["resolved"].items())
    versions = ", ".join(f"{name} {number}" for name, number in card["versions"].items() if number)
    dropped = ", ".join(f"{code} {n}" for code, n in data["dropped_too_long"].items()) or "none"
    return f"""---
language:
{listed}
library_name: transformers
pipeline_tag: text-generation
base_model: {card["parent"]["checkpoint"]}
tags:
  - interpretability
  - multilingual
  - {card["method"]}
---

# {card["method"]} from {card["parent"]["checkpoint"]}

Trained by `interp train {card["method"]}` on {data["n_facts"]} facts in {len(data["languages"])} languages;
facts left out because their prompt is too long: {dropped}.
Parent `{card["parent"]["fingerprint"][:16]}`, facts `{data["facts_digest"][:16]}`.

## Evaluation

Greedy completions, judged by the matcher that rewards use. Total Consistency: share of facts that are right
in every language. Resolved: share of completions that name an option. The test split is not used.

| split | step | facts | accuracy | total consistency | resolved | empty |
|---|---:|---:|---:|---:|---:|---:|
{rows}

## Cost

{cost["tokens"]:,} tokens, {cost["wall_seconds"]:.0f} s of wall time,
{cost["device_hours"]:.3f} device-hours on {card["device"]}.

## Settings

Resolved: {resolved}.

| | |
|---|---|
{settings}

Versions: {versions}.
`card.json` has every number of this page.
"""
