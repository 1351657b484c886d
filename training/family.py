"""The organism's family: every method from one base with several seeds, each asked the same questions afterwards."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from interp.config import load_config
from interp.data.facts import FactSet
from interp.data.hashing import hash_sample
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, nearest
from interp.files import write_atomically
from interp.model.checkpoints import resolve_checkpoint
from training.config import CONFIGS
from training.organism.accuracy import answer_scores, load_organism
from training.organism.card import read_card
from training.organism.exposure import Exposure, exposure
from training.organism.recipe import OrganismConfig
from training.running.callbacks import Progress

__all__ = ["BASE", "MEMBERS", "Questions", "measure_members", "questions", "run_folder", "train_members"]

BASE = "organism:final"

MEMBERS = {
    "sft": "sft",
    "grpo": "grpo",
    "grpo-per-lang": "grpo",
    "calm": "calm",
    "dco": "dco",
    "cpt": "cpt",
}
"""Member to its method; its settings are in ``configs/organism/<member>.toml``."""

_TRAINERS = {
    "sft": ("training.sft", "train_sft"),
    "grpo": ("training.grpo", "train_grpo"),
    "calm": ("training.preference", "train_calm"),
    "dco": ("training.dco", "train_dco"),
    "cpt": ("training.cpt", "train_cpt"),
}
_TRAIN_FACTS = _TEST_FACTS = 160


@dataclass(frozen=True)
class Questions:
    """What every member is asked: validation facts, and as many of train and of test.

    Attributes:
        facts: In a fixed order.
        exposed: Which of them the base read in which language.
    """

    facts: FactSet
    exposed: Exposure


def questions() -> Questions:
    """Return the questions for the shipped base."""
    recipe = read_card(resolve_checkpoint(BASE).path)["recipe"]
    config = OrganismConfig(**{**recipe, "languages": tuple(recipe["languages"])})
    facts = cldr_facts().filter(languages=config.languages)
    limits = {"train": _TRAIN_FACTS, "validation": len(facts), "test": _TEST_FACTS}
    chosen = [
        fact
        for split, limit in limits.items()
        for fact in hash_sample([f for f in facts if f.split == split], limit, key=lambda f: f.fact_id)
    ]
    return Questions(FactSet(facts.name, tuple(chosen), facts.languages), exposure(facts, config))


def run_folder(out: Path, member: str, seed: int) -> Path:
    """Return the folder of one run."""
    return out / f"{member}-seed{seed}"


def train_members(
    out: Path, seeds: int, members: Sequence[str] = (), progress: Progress | None = None
) -> list[tuple[str, int]]:
    """Train every member with every seed; what is finished is not done again.

    Returns:
        The runs, as member and seed.

    Raises:
        ConfigError: A member is unknown, or there is no seed.
    """
    members = members or tuple(MEMBERS)
    for member in members:
        if member not in MEMBERS:
            raise ConfigError(
                f"No member '{member}'.{nearest(member, MEMBERS)} There is: {', '.join(MEMBERS)}."
            )
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}; 1 or more is expected.")
    runs = [(member, seed) for seed in range(seeds) for member in members]
    for number, (member, seed) in enumerate(runs):
        if progress:
            progress("runs", number, len(runs))
        _train(member, seed, run_folder(out, member, seed), progress)
    return runs


def measure_members(
    out: Path, runs: Sequence[tuple[str, int]], asked: Questions, progress: Progress | None = None
) -> dict[tuple[str, int], Bool[np.ndarray, "fact language"]]:
    """Ask the base (as member ``base``, seed 0) and every run; multiple choice by summed log-likelihood.

    Answers are kept beside the weights, so a rerun asks nobody twice.
    """
    folders = {("base", 0): resolve_checkpoint(BASE).path}
    folders |= {run: run_folder(out, *run) / "final" for run in runs}
    found = {}
    for number, (run, folder) in enumerate(folders.items()):
        if progress:
            progress("members asked", number, len(folders))
        found[run] = _measured(folder, out / f"{run[0]}-seed{run[1]}.mcq.npz", asked)
    return found


def _train(member: str, seed: int, out: Path, progress: Progress | None) -> None:
    method = MEMBERS[member]
    settings = Path(str(files("training"))) / "configs" / "organism" / f"{member}.toml"
    config = load_config(CONFIGS[method], settings, {"out": out, "seed": seed})
    module, name = _TRAINERS[method]
    train: Any = getattr(importlib.import_module(module), name)
    train(config, progress)


def _measured(folder: Path, file: Path, asked: Questions) -> Bool[np.ndarray, "fact language"]:
    fingerprint = resolve_checkpoint(str(folder)).fingerprint
    if file.exists():
        with np.load(file) as saved:
            if str(saved["fingerprint"]) == fingerprint and str(saved["facts"]) == asked.facts.digest:
                return saved["right"]
    model, tokenizer = load_organism(folder)
    gold = np.array([fact.answer_index for fact in asked.facts])
    right = np.stack(
        [
            answer_scores(model, tokenizer, asked.facts, c).argmax(axis=1) == gold
            for c in asked.facts.languages
        ],
        axis=1,
    )
    write_atomically(
        file, lambda stream: np.savez(stream, right=right, fingerprint=fingerprint, facts=asked.facts.digest)
    )
    return right
