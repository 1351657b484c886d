"""`interp lens`: in which language each layer would answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interp.config.lens import LensConfig
from interp.console import console, no_bars_in_files, progress_bars, say_files
from interp.errors import Interrupted
from interp.flags import configured

if TYPE_CHECKING:
    from analyses.lens import LensStudy

__all__ = ["lens"]


@configured(LensConfig)
def lens(config: LensConfig) -> None:
    """Read every layer's answer in every language (logit lens, tuned lens), and compare checkpoints.

    An interrupted run continues; a rerun reuses what is done; another --pivot needs no model.

    Example: `interp lens --ckpt organism:final --ckpt organism:grpo --languages en,sw,ja --tuned --figure`
    """
    from analyses.lens import run_lens
    from figures.terminal import print_changes, print_diagnostics
    from figures.terminal.lens import print_lens

    no_bars_in_files()
    try:
        with progress_bars() as progress:
            study = run_lens(config, progress)
    except KeyboardInterrupt:  # between two passes
        raise Interrupted("Stopped.") from None
    prompts = study.task.prompts
    print(f"Prompts: {prompts.name} ({prompts.note})")
    for name, results in study.results.items():
        print_lens(name, study.names, results, console())
        for change in study.comparisons[name]:
            print_changes(change, console())
            stem = f"{change.names[0]}-to-{change.names[1]}.{_stem(name)}.json"
            study.files.append(change.save(config.out / stem))
    if config.figure:
        study.files.extend(_draw(study, config.out))
    say_files(study.files)
    diagnostics = study.diagnostics()
    print_diagnostics(diagnostics, console())
    if diagnostics and config.strict:
        raise typer.Exit(1)


def _draw(study: LensStudy, out: Path) -> list[Path]:
    from figures import plot
    from figures.lens import lens_data, plot_lens
    from figures.style import save_figure

    files: list[Path] = []
    for name, results in study.results.items():
        files += save_figure(plot(results, study.names), out / _stem(name), lens_data(results, study.names))
        if any(results[0].mass_tokens):
            figure, stem = plot_lens(results, study.names, "mass"), out / f"{_stem(name)}-mass"
            files += save_figure(figure, stem, lens_data(results, study.names, "mass"))
        for change in study.comparisons[name]:
            stem = out / f"{change.names[0]}-to-{change.names[1]}.{_stem(name)}"
            files += save_figure(plot(change), stem, change.to_frame())
    return files


def _stem(lens: str) -> str:
    return "lens" if lens == "logit" else f"{lens}-lens"
