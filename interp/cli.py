"""The `interp` command: each subcommand parses, calls one library function, saves, and prints a readable answer.

Nothing heavy is imported before a command runs, and nothing here cannot be done in a notebook.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, NoReturn

import typer

from interp.config import EvaluationConfig, SpecializationConfig
from interp.console import console, progress_bars, say, say_files
from interp.errors import ConfigError, InterpError, Interrupted
from interp.files import write_atomically
from interp.flags import configured
from interp.train_cli import train_app

if TYPE_CHECKING:
    import pandas as pd

    from analyses.study import SpecializationStudy

app = typer.Typer(
    name="interp",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="What does post-training do to the way a language model routes languages? Start with: interp demo",
)
data_app = typer.Typer(
    no_args_is_help=True, help="Facts: check a file of your own, rebuild the embedded ones."
)
app.add_typer(data_app, name="data")
app.add_typer(train_app, name="train")

DEMO = SpecializationConfig(
    ckpt=("organism:final", "organism:sft", "organism:grpo"),
    out=Path("interp-demo"),
    limit=300,
    head_items=150,
    figure=True,
)


def main() -> None:
    """Run the command; an error that a user can act on is one line and its exit code."""
    try:
        app()
    except Interrupted as error:
        _fail(f"{error} Resume with: {_resume_command(sys.argv[1:])}", error.exit_code)
    except InterpError as error:
        _fail(str(error), error.exit_code)


@app.command()
@configured(SpecializationConfig)
def specialization(config: SpecializationConfig) -> None:
    """Measure how language-specialised neurons and heads are, and compare checkpoints.

    Each checkpoint is read once; results, comparisons and figures go to --out, and a rerun continues there.

    Example: `interp specialization --ckpt organism:early --ckpt organism:final --languages en,sw,ja --figure`
    """
    _specialization(config)


@app.command()
@configured(EvaluationConfig)
def evaluate(config: EvaluationConfig) -> None:
    """Ask facts in every language (multiple choice by log-likelihood): accuracy, consistency, changes with intervals.

    A rerun reuses what is done; another --normalization needs no model.

    Example: `interp evaluate --ckpt organism:final --ckpt organism:grpo --split validation --normalization sum`
    """
    from analyses.behaviour import run_evaluation
    from figures.terminal import print_behaviour, print_doubts

    _no_bars_in_files()
    with progress_bars() as progress:
        study = run_evaluation(config, progress)
    print_behaviour(study.names, study.results, study.comparisons, study.normalization, console())
    for name, change in zip(study.names[1:], study.comparisons, strict=True):
        study.files.append(config.out / f"{study.names[0]}-to-{name}.{study.normalization}.csv")
        write_atomically(study.files[-1], partial(_write_csv, table=change))
    say_files(study.files)
    doubts = study.sanity()
    print_doubts(doubts, console())
    if doubts and config.strict:
        raise typer.Exit(1)


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Folder for results and figures.")] = DEMO.out) -> None:
    """Compare the organism with what SFT and GRPO made of it: what they know, how specialised they are (under two minutes).

    Example: `interp demo`
    """
    from analyses.family import shipped_table
    from figures.terminal import print_family

    with progress_bars() as progress:
        table = shipped_table(("sft", "grpo"), progress)
    print_family(table.frame, console())
    _specialization(dataclasses.replace(DEMO, out=out))
    say(
        "\n[b]What to try next[/b]\n"
        f"  look      {out}/neurons.png, {out}/heads.png\n"
        "  yours     interp specialization --ckpt PATH_OR_HUB_ID --ckpt ANOTHER --languages en,sw,ja --figure\n"
        "  your text interp specialization --ckpt PATH --prompts FOLDER_OF_TXT   (en.txt, sw.txt, ...)\n"
        f"  notebook  from interp import load_result; load_result('{out}/...neurons.npz')"
    )


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="Saved result (.npz).")],
    after: Annotated[Path, typer.Argument(help="Saved result of another checkpoint on the same prompts.")],
    out: Annotated[
        Path | None, typer.Option(help="Also write JSON, figure (PNG, PDF) and CSV with this stem.")
    ] = None,
) -> None:
    """Compare two saved results: change per layer with interval, noise floor, overlap, and a verdict.

    Example: `interp compare results/base.neurons.npz results/grpo.neurons.npz --out base-to-grpo`
    """
    from analyses.comparison import compare as compare_results
    from figures import plot
    from figures.style import save_figure
    from figures.terminal import print_comparison
    from interp.results import load_result

    if out is not None and not out.name:
        raise ConfigError(f"--out is '{out}'; a stem such as {out / 'comparison'} is expected.")
    comparison = compare_results(load_result(before), load_result(after))
    print_comparison(comparison, console())
    if out is not None:
        drawn = save_figure(plot(comparison), out, comparison.to_frame())
        say_files([comparison.save(out.with_name(out.name + ".json")), *drawn])


@data_app.command("check")
def data_check(file: Annotated[Path, typer.Argument(help="Facts as .jsonl or .parquet.")]) -> None:
    """Report every violation of the facts schema with its row; exit code 2 if there is one.

    Example: `interp data check my-facts.jsonl`
    """
    from interp.data.check import check_facts

    report = check_facts(file)
    print(report)
    if report.violations:
        raise typer.Exit(2)


@data_app.command("build-cldr")
def data_build_cldr(
    out: Annotated[Path, typer.Option(help="Where to write the facts file.")] = Path("cldr_facts.json"),
) -> None:
    """Rebuild the embedded facts from Babel's CLDR (needs the 'data' extra).

    Example: `interp data build-cldr --out cldr_facts.json`
    """
    from interp.data.sources.cldr_build import build_cldr

    build_cldr(out)
    say_files([out])


def _specialization(config: SpecializationConfig) -> None:
    from analyses.specialization import run_specialization
    from figures.terminal import print_doubts, print_study

    _no_bars_in_files()
    try:
        with progress_bars() as progress:
            study = run_specialization(config, progress)
    except KeyboardInterrupt:  # between two passes
        raise Interrupted("Stopped.") from None
    print_study(study, console())
    files = [*study.files, *(_draw(study, config.out) if config.figure else [])]
    say_files(files)
    if leftovers := sorted(config.out.glob(".*.tmp")):
        print(f"Ignored: {len(leftovers)} unfinished files of runs that were killed, such as {leftovers[0]}")
    doubts = study.sanity()
    print_doubts(doubts, console())
    if doubts and config.strict:
        raise typer.Exit(1)


def _draw(study: SpecializationStudy, out: Path) -> list[Path]:
    from figures import plot
    from figures.specialization import specialization_data
    from figures.style import save_figure

    files: list[Path] = []
    for unit, results in study.results.items():
        data = specialization_data(results, study.names)
        files += save_figure(plot(results, study.names), out / unit, data)
        for comparison in study.comparisons[unit]:
            stem = out / f"{comparison.names[0]}-to-{comparison.names[1]}.{unit}"
            files += save_figure(plot(comparison), stem, comparison.to_frame())
    return files


def _no_bars_in_files() -> None:
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()


def _write_csv(stream: IO[bytes], table: pd.DataFrame) -> None:
    stream.write(table.to_csv(index=False).encode())


def _resume_command(arguments: list[str]) -> str:
    """The same command, without what would discard the work that is to be resumed."""
    kept = [a for a in arguments if a != "--fresh"]
    from_file = any(a.startswith("--config") for a in kept)
    return shlex.join(["interp", *kept, *(["--no-fresh"] if from_file else [])])


def _fail(message: str, exit_code: int) -> NoReturn:
    from interp.data.characters import visible

    print(f"interp: {visible(message, limit=10_000)}", file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
