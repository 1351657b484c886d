"""`interp specialization` and `interp demo`: how specialized neurons and heads are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp.config import SpecializationConfig
from interp.console import console, no_bars_in_files, progress_bars, say, say_files
from interp.errors import Interrupted
from interp.flags import configured

if TYPE_CHECKING:
    from analyses.study import SpecializationStudy

__all__ = ["demo", "specialization"]

DEMO = SpecializationConfig(
    ckpt=("organism:final", "organism:sft", "organism:grpo"),
    out=Path("interp-demo"),
    limit=300,
    head_items=150,
    figure=True,
)


@configured(SpecializationConfig)
def specialization(config: SpecializationConfig) -> None:
    """Measure how language-specialized neurons and heads are, and compare checkpoints.

    Each checkpoint is read once; results, comparisons and figures go to --out, and a rerun continues there.

    Example: `interp specialization --ckpt organism:early --ckpt organism:final --languages en,sw,ja --figure`
    """
    _specialization(config)


def demo(out: Annotated[Path, typer.Option(help="Folder for results and figures.")] = DEMO.out) -> None:
    """Compare the organism with what SFT and GRPO made of it: what they know, how specialized they are (under two minutes).

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


def _specialization(config: SpecializationConfig) -> None:
    from analyses.specialization import run_specialization
    from figures.terminal import print_diagnostics, print_study

    no_bars_in_files()
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
    diagnostics = study.diagnostics()
    print_diagnostics(diagnostics, console())
    if diagnostics and config.strict:
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
