"""`interp rescore`: saved answers with another scoring, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp.console import console, say_files
from interp.errors import ResultError

if TYPE_CHECKING:
    from interp.results.answers import AnswersResult

__all__ = ["rescore"]


def rescore(
    results: Annotated[
        list[Path], typer.Argument(help="Saved results of evaluate (.npz), to the same questions.")
    ],
    scoring: Annotated[
        str,
        typer.Option(
            help="Of multiple choice: sum, token, character, byte; of generated text: strict, boundary, "
            "anywhere, prefix, published; auto: as of evaluate."
        ),
    ] = "auto",
    cluster: Annotated[str, typer.Option(help="Clusters of intervals: group, fact or answer.")] = "group",
    out: Annotated[Path | None, typer.Option(help="Also write every answer as CSV with this stem.")] = None,
) -> None:
    """Score saved answers in another way, without a model.

    Example: `interp rescore interp-evaluate/*.behavior.npz --scoring sum`
    """
    import figures
    from analyses.comparison import compare_all
    from figures.style import write_table
    from figures.table import print_tables

    answers = [_answers(file) for file in results]
    names = [file.name.split(".")[0] for file in results]
    scoring = answers[0].checked(scoring)
    answers[0].clusters(cluster)  # refused before anything is compared
    comparisons = compare_all({"answers": answers}, names, scoring=scoring, cluster=cluster)["answers"]
    print_tables(figures.tables(answers, names, scoring=scoring, cluster=cluster), console())
    for comparison in comparisons:
        print_tables(figures.tables(comparison), console())
        print(comparison.diagnosis)
    if out is not None:
        say_files(
            write_table(result.to_frame(scoring), out.with_name(f"{out.name}-{name}.{scoring}.csv"))
            for result, name in zip(answers, names, strict=True)
        )


def _answers(file: Path) -> AnswersResult:
    from interp.results import load_result
    from interp.results.answers import AnswersResult

    result = load_result(file)
    if not isinstance(result, AnswersResult):
        raise ResultError(f"{file} is a '{result.kind}' result; one of evaluate is expected.")
    return result
