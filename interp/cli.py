"""The `interp` command: each subcommand parses, calls one library function, saves, and prints a readable answer.

Nothing heavy is imported before a command runs, and nothing here cannot be done in a notebook.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from interp.config import SpecializationConfig
from interp.errors import ConfigError, InterpError, Interrupted
from interp.flags import configured

if TYPE_CHECKING:
    from rich.console import Console

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
train_app = typer.Typer(no_args_is_help=True, help="Make checkpoints.")
app.add_typer(data_app, name="data")
app.add_typer(train_app, name="train")

DEMO = SpecializationConfig(
    ckpt=("organism:early", "organism:final"), out=Path("interp-demo"), limit=300, head_items=150, figure=True
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
def demo(out: Annotated[Path, typer.Option(help="Folder for results and figures.")] = DEMO.out) -> None:
    """Measure the two shipped checkpoints of the organism, compare them, and draw the figures (under two minutes).

    Example: `interp demo`
    """
    _specialization(dataclasses.replace(DEMO, out=out))
    _say(
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
    print_comparison(comparison, _console())
    if out is not None:
        drawn = save_figure(plot(comparison), out, comparison.to_frame())
        _say_files([comparison.save(out.with_name(out.name + ".json")), *drawn])


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
    _say_files([out])


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

    with _progress() as progress:
        folder = train_organism(
            out, OrganismConfig(seed=seed), lambda done, total, loss: progress("training steps", done, total)
        )
    _say_files([folder])


def _specialization(config: SpecializationConfig) -> None:
    from transformers.utils import logging

    from analyses.specialization import run_specialization
    from figures.terminal import print_doubts, print_study

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        with _progress() as progress:
            study = run_specialization(config, progress)
    except KeyboardInterrupt:  # between two passes
        raise Interrupted("Stopped.") from None
    print_study(study, _console())
    files = [*study.files, *(_draw(study, config.out) if config.figure else [])]
    _say_files(files)
    if leftovers := sorted(config.out.glob(".*.tmp")):
        print(f"Ignored: {len(leftovers)} unfinished files of runs that were killed, such as {leftovers[0]}")
    doubts = study.sanity()
    print_doubts(doubts, _console())
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


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar per label on a terminal; nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=_console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def update(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)

        yield update


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _say(text: str) -> None:
    _console().print(text, highlight=False, soft_wrap=True)


def _say_files(files: Iterable[Path]) -> None:
    """List files, those that differ only in their suffix on one line."""
    stems: dict[Path, list[str]] = {}
    for file in files:
        stems.setdefault(file.with_suffix(""), []).append(file.suffix)
    print("\nWritten or reused:")
    for stem, suffixes in stems.items():
        print(f"  {stem}{' '.join(dict.fromkeys(suffixes))}")


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
