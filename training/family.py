"""The organism's family: every method from one base with several seeds, each asked the same questions afterwards."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from interp.config import load_config
from interp.data.facts import FactSet
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, nearest
from interp.files import write_atomically
from interp.model.checkpoints import resolve_checkpoint
from training.config import CONFIGS
from training.organism.accuracy import answer_scores, load_organism
from training.organism.card import read_card
from training.organism.exposure import Exposure, exposure
from training.organism.recipe import OrganismConfig
from training.progress import Progress

__all__ = [
    "BASE",
    "MEMBERS",
    "Questions",
    "measure_members",
    "questions",
    "right_answers",
    "run_folder",
    "train_members",
]

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


@dataclass(frozen=True)
class Questions:
    """What every member is asked: facts of all three splits.

    Attributes:
        facts: In a fixed order.
        exposed: Which of them the base read in which language.
    """

    facts: FactSet
    exposed: Exposure


def questions(train: int = 64, held_out: int = 160) -> Questions:
    """Return facts of all three splits to ask the shipped base and its family.

    Args:
        train: Facts of the train split, drawn by the hash of their ids; the members were trained on these 64.
        held_out: Facts of the validation split, and as many of the test split.
    """
    recipe = read_card(resolve_checkpoint(BASE).path)["recipe"]
    config = OrganismConfig(**{**recipe, "languages": tuple(recipe["languages"])})
    facts = cldr_facts().filter(languages=config.languages)
    sizes = {"train": train, "validation": held_out, "test": held_out}
    chosen = [facts.filter(splits=[split], limit=size).facts for split, size in sizes.items()]
    return Questions(FactSet(facts.name, tuple(chain(*chosen)), facts.languages), exposure(facts, config))


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


def right_answers(folder: Path, asked: Questions) -> Bool[np.ndarray, "fact language"]:
    """Ask a member everything and return what it got right: multiple choice by summed log-likelihood."""
    model, tokenizer = load_organism(folder)
    gold = np.array([fact.answer_index for fact in asked.facts])
    chosen = [
        answer_scores(model, tokenizer, asked.facts, code).argmax(axis=1) for code in asked.facts.languages
    ]
    return np.stack(chosen, axis=1) == gold[:, None]


def _measured(folder: Path, file: Path, asked: Questions) -> Bool[np.ndarray, "fact language"]:
    fingerprint = resolve_checkpoint(str(folder)).fingerprint
    if file.exists():
        with np.load(file) as saved:
            if str(saved["fingerprint"]) == fingerprint and str(saved["facts"]) == asked.facts.digest:
                return saved["right"]
    right = right_answers(folder, asked)
    write_atomically(
        file, lambda stream: np.savez(stream, right=right, fingerprint=fingerprint, facts=asked.facts.digest)
    )
    return right
