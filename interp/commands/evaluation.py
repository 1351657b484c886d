"""`interp evaluate` and `interp rescore`: what checkpoints answer in every language."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp.config import EvaluationConfig
from interp.console import console, no_bars_in_files, progress_bars, say_files
from interp.errors import ResultError
from interp.flags import configured

if TYPE_CHECKING:
    from analyses.behavior import BehaviorStudy

__all__ = ["evaluate", "rescore"]


@configured(EvaluationConfig)
def evaluate(config: EvaluationConfig) -> None:
    """Ask facts in every language, as multiple choice or by generation: accuracy, consistency, changes with intervals.

    An interrupted run continues; a rerun reuses what is done; another --normalization or --match needs no model.

    Example: `interp evaluate --ckpt organism:final --ckpt organism:grpo --split validation --figure`
    """
    from analyses.asked import language_classes
    from analyses.behavior import run_evaluation
    from figures.terminal import print_behavior, print_changes, print_diagnostics

    no_bars_in_files()
    with progress_bars() as progress:
        study = run_evaluation(config, progress)
    asked = study.asked
    if asked.note:
        print(asked.note)
    print_behavior(
        study.names,
        study.results,
        study.reading,
        console(),
        baselines=asked.baselines,
        classes=language_classes(asked.facts.languages),
        masks=asked.strata,
    )
    for change in study.comparisons:
        print_changes(change, console())
        stem = f"{change.names[0]}-to-{change.names[1]}.{change.kind}.{study.reading}.json"
        study.files.append(change.save(config.out / stem))
    if config.figure:
        study.files.extend(_draw(study, config.out))
    say_files(study.files)
    diagnostics = study.diagnostics()
    print_diagnostics(diagnostics, console())
    if diagnostics and config.strict:
        raise typer.Exit(1)


def rescore(
    results: Annotated[
        list[Path], typer.Argument(help="Saved results of evaluate (.npz), of one benchmark.")
    ],
    reading: Annotated[
        str,
        typer.Option(
            "--as",
            help="How answers are read off: sum, token, character, byte; or strict, boundary, anywhere, prefix, published.",
        ),
    ] = "",
    cluster: Annotated[str, typer.Option(help="Clusters of intervals: group, fact or answer.")] = "group",
    out: Annotated[Path | None, typer.Option(help="Also write every answer as CSV with this stem.")] = None,
) -> None:
    """Read saved answers in another way, without a model: another normalization, or another match.

    Example: `interp rescore interp-evaluate/*.behavior.npz --as sum`
    """
    from analyses.asked import language_classes
    from analyses.behavior import clustered
    from analyses.changes import compare_facts
    from figures.style import write_table
    from figures.terminal import print_behavior, print_changes
    from interp.config.evaluation import CLUSTERS
    from interp.errors import ConfigError, nearest
    from interp.results import load_result
    from interp.results.answers import AnswersResult

    if cluster not in CLUSTERS:
        raise ConfigError(
            f"--cluster is '{cluster}'; one of {', '.join(CLUSTERS)} is expected.{nearest(cluster, CLUSTERS)}"
        )
    found = []
    for file in results:
        result = load_result(file)
        if not isinstance(result, AnswersResult):
            raise ResultError(f"{file} is a '{result.kind}' result; one of evaluate is expected.")
        found.append(clustered(result, cluster))
    names = [file.name.split(".")[0] for file in results]
    chosen = found[0].checked(reading)
    changes = [
        compare_facts(found[0], later, names=(names[0], name), reading=chosen)
        for later, name in zip(found[1:], names[1:], strict=True)
    ]
    print_behavior(names, found, chosen, console(), classes=language_classes(found[0].languages))
    for change in changes:
        print_changes(change, console())
    if out is not None:
        say_files(
            write_table(result.to_frame(chosen), out.with_name(f"{out.name}-{name}.{chosen}.csv"))
            for result, name in zip(found, names, strict=True)
        )


def _draw(study: BehaviorStudy, out: Path) -> list[Path]:
    import pandas as pd

    from figures import plot
    from figures.behavior import plot_behavior
    from figures.style import save_figure

    tables = [
        result.by_language(study.reading).assign(checkpoint=name)
        for result, name in zip(study.results, study.names, strict=True)
    ]
    drawn = plot_behavior(study.results, study.names, study.reading)
    kind = study.results[0].kind
    files = save_figure(drawn, out / f"{kind}.{study.reading}", pd.concat(tables))
    for change in study.comparisons:
        stem = out / f"{change.names[0]}-to-{change.names[1]}.{kind}.{study.reading}"
        files += save_figure(plot(change), stem, change.to_frame())
    return files
