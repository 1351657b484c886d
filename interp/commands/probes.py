"""`interp probe` and `interp align`: what is linearly readable at each layer, and whether translations meet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interp.commands.conclusion import conclude, interruptible
from interp.config.alignment import AlignmentConfig
from interp.config.probing import ProbingConfig
from interp.console import console
from interp.flags import configured

if TYPE_CHECKING:
    from analyses.series import Series

    from probes.alignment_results import AlignmentResult
    from probes.results import ProbeResult

__all__ = ["align", "probe"]


@configured(ProbingConfig)
def probe(config: ProbingConfig) -> None:
    """Train linear probes on every layer: the prompt's language, the right answer, or whether the model will be right.

    Facts never cross folds, in any language; each score stands beside that of control labels. A rerun reuses what is done.

    Example: `interp probe --ckpt organism:final --ckpt organism:grpo --task answer --languages en,sw,ja --figure`
    """
    from analyses.probing import run_probing
    from figures.terminal.probes import print_probes

    with interruptible() as progress:
        series = run_probing(config, progress)
    print_probes(series.names, series.results, console())
    drawn = _draw_probes(series, config.out) if config.figure else []
    conclude(series, drawn, config.out, figure=config.figure, strict=config.strict)


@configured(AlignmentConfig)
def align(config: AlignmentConfig) -> None:
    """Compare the languages' vectors of the same prompts at every layer: MEXA, retrieval raw and centered, linear CKA.

    A rerun reuses what is done.

    Example: `interp align --ckpt organism:final --ckpt organism:grpo --languages en,sw,ja --embedding last --figure`
    """
    from analyses.alignment import run_alignment
    from figures.terminal.alignment import print_alignment

    with interruptible() as progress:
        series = run_alignment(config, progress)
    print_alignment(series.names, series.results, console())
    drawn = _draw_alignment(series, config.out) if config.figure else []
    conclude(series, drawn, config.out, figure=config.figure, strict=config.strict)


def _draw_probes(series: Series[ProbeResult], out: Path) -> list[Path]:
    from figures.probes import plot_transfer, probe_data

    from figures import plot
    from figures.style import save_figure

    data = probe_data(series.results, series.names)
    files = save_figure(plot(series.results, series.names), out / series.suffix, data)
    for name, result in zip(series.names, series.results, strict=True):
        stem = out / f"{name}.{series.suffix}.languages"
        files += save_figure(plot_transfer(result, name), stem, result.to_frame())
    return files


def _draw_alignment(series: Series[AlignmentResult], out: Path) -> list[Path]:
    from figures import plot
    from figures.alignment import alignment_data, plot_pairs
    from figures.style import save_figure

    data = alignment_data(series.results, series.names)
    files = save_figure(plot(series.results, series.names), out / series.suffix, data)
    for name, result in zip(series.names, series.results, strict=True):
        stem = out / f"{name}.{series.suffix}.languages"
        files += save_figure(plot_pairs(result, name), stem, result.to_frame())
    return files
