"""`interp export-lm-eval` and `interp import-lm-eval`: the same questions in the lm-evaluation-harness, and back."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from interp.console import console, say_files

__all__ = ["export_lm_eval", "import_lm_eval"]


def export_lm_eval(
    out: Annotated[Path, typer.Option(help="New folder for tasks and documents; it can be moved.")],
    benchmark: Annotated[
        str,
        typer.Option(help="What is asked, as of evaluate: cldr, a facts file, klar:DIR, polyfact:PATH ..."),
    ] = "cldr",
    languages: Annotated[
        str,
        typer.Option(help="Codes such as en,sw,ja; polyfact, polyfact-unseen, all; auto: the benchmark's."),
    ] = "auto",
    split: Annotated[str, typer.Option(help="Facts of this split: all, train, validation, test.")] = "all",
    limit: Annotated[int, typer.Option(help="At most this many facts (0: all).", min=0)] = 0,
    prompt_format: Annotated[
        str, typer.Option(help="Words around the question: auto (the benchmark's), native, english, none.")
    ] = "auto",
    allow_missing: Annotated[
        bool, typer.Option(help="Restrict to the facts that all languages have.")
    ] = False,
) -> None:
    """Write what evaluate asks as tasks of EleutherAI's lm-evaluation-harness, one per language.

    Example: `interp export-lm-eval --languages en,sw,ja --out tasks`
    """
    from analyses.asked import asked_facts
    from interp.config import EvaluationConfig, load_config
    from interp.data.lm_eval import task_name, write_tasks

    given = {"benchmark": benchmark, "languages": languages, "split": split, "limit": limit}
    more = {"prompt_format": prompt_format, "allow_missing": allow_missing}
    asked = asked_facts(load_config(EvaluationConfig, None, {**given, **more}))
    files = write_tasks(asked.facts, out, asked.prompt_format)
    group = task_name(asked.facts.name)
    if asked.note:
        print(asked.note)
    print(
        f"{len(asked.facts)} facts in {len(asked.facts.languages)} languages, prompt_format {asked.prompt_format}. Ask a model with\n"
        f"  lm_eval run --include_path {shlex.quote(str(out))} --tasks {group} --log_samples --output_path RUNS"
        " --model hf --model_args pretrained=MODEL,softmax_dtype=float32\n"
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
    normalization: Annotated[
        str, typer.Option(help="What a summed log-probability is divided by: sum, character, byte.")
    ] = "byte",
) -> None:
    """Compute accuracy and consistency from samples that the lm-evaluation-harness logged.

    The result is one of evaluate: compare, rescore and the figures read it.

    Example: `interp import-lm-eval runs/MODEL/samples_interp_cldr_*.jsonl --out MODEL.behavior.npz`
    """
    from analyses.asked import language_classes
    from analyses.lm_eval import import_samples
    from figures.terminal import print_behavior
    from interp.data.languages import parse_languages

    result = import_samples(samples, parse_languages(languages) if languages else None)
    result.scores(normalization)  # refused before anything is written
    result.save(out)
    name = Path(result.provenance.checkpoint).name
    classes = language_classes(result.languages)
    print_behavior([name], [result], normalization, console(), classes=classes)
    for note in result.provenance.run["notes"]:
        print(note)
    say_files([out])
