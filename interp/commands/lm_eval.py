"""`interp export-lm-eval` and `import-lm-eval`: the same questions in the lm-evaluation-harness, and back."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from interp.config import DataOptions, QuestionOptions, option
from interp.console import console, say_files
from interp.flags import configured

__all__ = ["export_lm_eval", "import_lm_eval"]


@dataclass(frozen=True)
class ExportOptions:
    """Where tasks go."""

    out: Path = option(
        Path("interp-lm-eval"), "Folder for tasks and documents, new or of the same tasks; it can be moved."
    )


@configured(QuestionOptions, ExportOptions)
def export_lm_eval(questions: QuestionOptions, export: ExportOptions) -> None:
    """Write what evaluate asks as tasks of EleutherAI's lm-evaluation-harness, one per language.

    Example: `interp export-lm-eval --languages en,sw,ja --out tasks`
    """
    from analyses.plan import facts_of
    from interp.data.lm_eval import task_name, write_tasks

    facts = facts_of(DataOptions(**vars(questions)))
    files = write_tasks(facts, export.out)
    group = task_name(facts.name)
    if facts.note:
        print(facts.note)
    counted = f"{len(facts)} facts in {len(facts.languages)} languages, prompt format {facts.prompt_format}"
    print(
        f"{counted}. Ask a model with\n"
        f"  lm_eval run --include_path {shlex.quote(str(export.out))} --tasks {group} --log_samples"
        " --output_path RUNS --model hf --model_args pretrained=MODEL,softmax_dtype=float32\n"
        f"  interp import-lm-eval RUNS/*/samples_{group}_*.jsonl --out MODEL.behavior.npz"
    )
    say_files(files)


def import_lm_eval(
    samples: Annotated[
        list[Path],
        typer.Argument(help="What the harness logged of our tasks: one samples_*.jsonl per language."),
    ],
    out: Annotated[Path, typer.Option(help="Where to save the result (.npz).")],
    languages: Annotated[
        str, typer.Option(help="Use these languages alone; by default all that were exported.")
    ] = "",
    language_file: Annotated[
        list[Path] | None, typer.Option(help="TOML file of a language the package does not know; repeatable.")
    ] = None,
    scoring: Annotated[
        str,
        typer.Option(help="What a summed log-probability is divided by: sum, character, byte; auto: byte."),
    ] = "auto",
) -> None:
    """Compute accuracy and consistency from samples that the lm-evaluation-harness logged.

    The result is one of evaluate: compare, rescore and the figures read it.

    Example: `interp import-lm-eval runs/MODEL/samples_interp_cldr_*.jsonl --out MODEL.behavior.npz`
    """
    import figures
    from analyses.lm_eval import import_samples
    from figures.table import print_tables
    from interp.commands.measures import print_diagnostics
    from interp.data.languages import parse_languages, register_language_file

    for file in language_file or ():
        register_language_file(file)
    result = import_samples(samples, parse_languages(languages) if languages else None)
    shown = figures.tables(result, [Path(result.provenance.checkpoint).name], scoring=scoring)
    result.save(out)
    print_tables(shown, console())
    print_diagnostics(result.diagnostics(scoring))
    say_files([out])
