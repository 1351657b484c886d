"""`interp train ...`: a command per training method, the plan of a GRPO run, the organism, its family."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated

import typer

from interp.config import LARGEST_SEED
from interp.console import console, progress_bars, say_files
from interp.errors import CapabilityError, Interrupted
from interp.flags import configured
from training.config import TrainConfig
from training.methods import METHODS, Method, PlanConfig

__all__ = ["train_app"]

train_app = typer.Typer(no_args_is_help=True, help="Train checkpoints to compare.")


def _add_command(name: str, method: Method) -> None:
    def command(config: TrainConfig) -> None:
        _train(method, config)

    command.__doc__ = f"{method.help}\n\nExample: `interp train {name} {method.example}`"
    train_app.command(name)(configured(method.config)(command))


for _name, _method in METHODS.items():
    _add_command(_name, _method)


@train_app.command("plan")
@configured(PlanConfig)
def train_plan_command(config: PlanConfig) -> None:
    """Print the batches of a GRPO run, the facts it drops and the memory it needs, without training.

    Example: `interp train plan --model organism:final --processes 8 --memory 80 --generations 8`
    """
    _require_extra()
    from training.plan.table import plan_table

    console().print(plan_table(config))


@train_app.command("organism")
def train_organism_command(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints; a rerun continues it.")] = Path(
        "organism"
    ),
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of weights and texts, from 0 to 4,294,967,295.")
    ] = 0,
) -> None:
    """Rebuild the organism: a small multilingual model trained from scratch on the embedded facts.

    It takes about 20 minutes on a CPU.

    Example: `interp train organism --out organism --seed 1`
    """
    from analyses.organism import add_accuracy
    from training.organism.recipe import OrganismConfig
    from training.organism.train import train_organism

    with progress_bars() as progress:
        folder = train_organism(
            out, OrganismConfig(seed=seed), lambda done, total, loss: progress("training steps", done, total)
        )
        for name in ("early", "final"):
            add_accuracy(folder / name, progress=progress)
    say_files([folder])


@train_app.command("family")
def train_family_command(
    out: Annotated[Path, typer.Option(help="Folder for the runs; a rerun continues it.")] = Path("family"),
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Runs per member, from 1 to 1,000; seeds are from 0.")
    ] = 3,
    methods: Annotated[str, typer.Option(help="Members, by name; empty for all.")] = "",
) -> None:
    """Rebuild the organism's family: every method from one base, and a table that compares them.

    It takes hours on a CPU.

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


def _train(method: Method, config: TrainConfig) -> None:
    _require_extra()
    from training.run.summary import print_run

    try:
        with progress_bars() as progress:
            final = method.train(config, progress)
    except KeyboardInterrupt:  # before the first step, or a second time
        raise Interrupted("Stopped.") from None
    if os.environ.get("RANK", "0") == "0":
        print_run(config.out, console())
        say_files([final, config.out / "metrics.jsonl"])


def _require_extra() -> None:
    packages = ("trl", "peft", "accelerate", "datasets", "pyarrow")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise CapabilityError(f"Training needs {', '.join(missing)}: pip install 'interp[train]'.")
    _quiet()


def _quiet() -> None:
    """Show the log of the run, but not what third-party packages announce of each other."""
    import logging
    import warnings

    from transformers.utils import logging as transformers_logging

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("training").setLevel(logging.INFO)
