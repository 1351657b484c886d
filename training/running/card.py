"""The card of a trained checkpoint: parent, data, settings as resolved, versions, cost, and how it answered."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from interp.config import to_plain
from training.files import write_json

if TYPE_CHECKING:
    from training.running.run import Run

__all__ = ["run_card", "write_run_card"]

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "safetensors")


def run_card(run: Run, trainer: Any, model: Any) -> dict[str, Any]:
    """Return the card as plain values."""
    arguments, state = trainer.args, trainer.state
    checkpoint = run.start.checkpoint
    return {
        "schema": 1,
        "method": run.method,
        "parent": {
            "checkpoint": checkpoint.spec,
            "revision": checkpoint.revision,
            "fingerprint": checkpoint.fingerprint,
        },
        "config": {key: value for key, value in to_plain(run.config).items() if key not in ("out", "fresh")},
        "resolved": {
            "steps": state.max_steps,
            "micro_batch": arguments.per_device_train_batch_size,
            "accumulation": arguments.gradient_accumulation_steps,
            "processes": arguments.world_size,
            "warmup_steps": arguments.warmup_steps,
            "bf16_arithmetic": arguments.bf16,
            "training_dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        },
        "data": {
            "facts": run.config.facts,
            "facts_digest": run.recipe["facts_digest"],
            "languages": list(run.train.languages),
            "n_facts": len(run.train),
            "dropped_too_long": run.train.dropped,
            **run.data,
        },
        "seed": run.config.seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "cost": run.callback.cost(state),
        "device": torch.cuda.get_device_name()
        if not arguments.use_cpu
        else f"cpu, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "evaluations": _ends([r for r in run.metrics.records() if r["event"] == "evaluation"]),
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


def _ends(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first and the last evaluation of each split."""
    found = []
    for split in dict.fromkeys(record["split"] for record in records):
        of_split = [record for record in records if record["split"] == split]
        found += [of_split[0], of_split[-1]] if len(of_split) > 1 else of_split
    return found


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

Trained by `interp train {card["method"]}` on {data["n_facts"]} facts in {len(data["languages"])} languages; facts left out for the length
of their prompt: {dropped}. Parent `{card["parent"]["fingerprint"][:16]}`, facts `{data["facts_digest"][:16]}`.

## How it answers

Greedy completions, judged by the same matcher that rewards use. Total Consistency: share of facts that are right in
every language. The test split is never asked while training.

| split | step | facts | accuracy | total consistency | resolved | empty |
|---|---:|---:|---:|---:|---:|---:|
{rows}

## Cost

{cost["tokens"]:,} tokens, {cost["wall_seconds"]:.0f} s of wall time, {cost["device_hours"]:.3f} device-hours on {card["device"]}.

## Settings

Resolved: {resolved}.

| | |
|---|---|
{settings}

Versions: {", ".join(f"{name} {number}" for name, number in card["versions"].items() if number)}. `card.json` holds
every number of this page.
"""
