"""`interp train ...`: one command per method that makes a checkpoint, a plan of its batches, and the organism."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from interp.console import console, progress_bars, say_files
from interp.errors import CapabilityError, Interrupted
from interp.flags import configured
from training.config import (
    CalmConfig,
    CmAlignConfig,
    CptConfig,
    DcoConfig,
    GrpoConfig,
    PlanConfig,
    SftConfig,
    TrainConfig,
)

__all__ = ["train_app"]

train_app = typer.Typer(no_args_is_help=True, help="Make checkpoints.")


@train_app.command("grpo")
@configured(GrpoConfig)
def train_grpo_command(config: GrpoConfig) -> None:
    """Train with GRPO: one completion per language is a rollout, and its languages can share the reward.

    Example: `interp train grpo --model organism:final --steps 50 --new-tokens 12 --lr 1e-4 --out grpo`
    """
    _train("training.grpo", "train_grpo", config)


@train_app.command("sft")
@configured(SftConfig)
def train_sft_command(config: SftConfig) -> None:
    """Fine-tune on the right answers: their text, or the letter of their option.

    Example: `interp train sft --model organism:final --steps 50 --facts-per-step 16 --lr 1e-4 --out sft`
    """
    _train("training.sft", "train_sft", config)


@train_app.command("cpt")
@configured(CptConfig)
def train_cpt_command(config: CptConfig) -> None:
    """Continue pre-training on parallel text: facts and names, or aligned lines of your own.

    Example: `interp train cpt --model organism:final --code-switch 0.5 --steps 100 --lr 3e-4 --out cpt`
    """
    _train("training.cpt", "train_cpt", config)


@train_app.command("calm")
@configured(CalmConfig)
def train_calm_command(config: CalmConfig) -> None:
    """Prefer what most languages answer (CALM): sample, vote over entities, DPO. No gold is used.

    Example: `interp train calm --model organism:final --steps 50 --new-tokens 12 --out calm`
    """
    _train("training.preference", "train_calm", config)


@train_app.command("cm-align")
@configured(CmAlignConfig)
def train_cm_align_command(config: CmAlignConfig) -> None:
    """Prefer what the pivot language answers (CM-Align), with DPO. No gold is used.

    Example: `interp train cm-align --model organism:final --steps 50 --new-tokens 12 --out cm-align`
    """
    _train("training.preference", "train_cm_align", config)


@train_app.command("dco")
@configured(DcoConfig)
def train_dco_command(config: DcoConfig) -> None:
    """Make pairs of languages agree on their odds (DCO). No label is used.

    Example: `interp train dco --model organism:final --steps 100 --out dco`
    """
    _train("training.dco", "train_dco", config)


@train_app.command("plan")
@configured(PlanConfig)
def train_plan_command(config: PlanConfig) -> None:
    """Print the batches of a GRPO run, the facts it drops, and the memory it will need, without training.

    Example: `interp train plan --model organism:final --processes 8 --memory 80 --generations 8`
    """
    _require_extra()
    from training.running.planning import plan_table

    console().print(plan_table(config))


@train_app.command("organism")
def train_organism_command(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints; a rerun continues it.")] = Path(
        "organism"
    ),
    seed: Annotated[int, typer.Option(help="Another seed makes another member of the family.")] = 0,
) -> None:
    """Rebuild the organism: a small multilingual model trained from scratch on the embedded facts (CPU, ~20 minutes).

    Example: `interp train organism --out organism --seed 1`
    """
    from training.organism.train import OrganismConfig, train_organism

    with progress_bars() as progress:
        folder = train_organism(
            out, OrganismConfig(seed=seed), lambda done, total, loss: progress("training steps", done, total)
        )
    say_files([folder])


@train_app.command("family")
def train_family_command(
    out: Annotated[Path, typer.Option(help="Folder for the runs; a rerun continues it.")] = Path("family"),
    seeds: Annotated[int, typer.Option(help="Runs per method, with seeds from 0.")] = 3,
    methods: Annotated[str, typer.Option(help="Members, by name; empty for all.")] = "",
) -> None:
    """Rebuild the organism's family: every method from the same base, and the table that compares them (hours of CPU).

    Example: `interp train family --out family --seeds 3 --methods sft,grpo`
    """
    _require_extra()
    from analyses.family import run_family
    from figures.family import plot_family
    from figures.style import save_figure
    from figures.terminal import print_family

    with progress_bars() as progress:
        table, curves = run_family(out, seeds, tuple(filter(None, methods.split(","))), progress)
    print_family(table.frame, console())
    drawn = save_figure(plot_family(curves), out / "family-curves", curves)
    say_files([out / "family.csv", out / "family.md", *drawn])


def _train(module: str, name: str, config: TrainConfig) -> None:
    _require_extra()
    from training.running.summary import print_run

    train: Callable[..., Path] = getattr(importlib.import_module(module), name)
    try:
        with progress_bars() as progress:
            final = train(config, progress)
    except KeyboardInterrupt:  # before the first step, or a second time
        raise Interrupted("Stopped.") from None
    if os.environ.get("RANK", "0") == "0":
        print_run(config.out, console())
        say_files([final, config.out / "metrics.jsonl"])


def _require_extra() -> None:
    missing = [name for name in ("trl", "peft", "accelerate", "datasets", "pyarrow") if not _installed(name)]
    if missing:
        raise CapabilityError(f"Training needs {', '.join(missing)}: pip install 'interp[train]'.")
    _quiet()


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _quiet() -> None:
    """Say what the run says of itself; not what third parties announce of each other, which no user can act on."""
    import logging
    import warnings

    from transformers.utils import logging as theirs

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    theirs.disable_progress_bar()
    theirs.set_verbosity_error()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("training").setLevel(logging.INFO)
