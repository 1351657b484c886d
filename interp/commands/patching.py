"""`interp patch`: which layers, heads, neurons and positions carry a fact, and whether one language's rescue another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interp.commands.conclusion import conclude, interruptible
from interp.config.patching import PatchingConfig
from interp.console import console
from interp.flags import configured

if TYPE_CHECKING:
    from pathlib import Path

    from analyses.series import Series

    from interp.results.attribution import AttributionResult
    from interp.results.patching import PatchingResult

__all__ = ["patch"]


@configured(PatchingConfig)
def patch(config: PatchingConfig) -> None:
    """Overwrite activations of one run by those of another, cell by cell, and see which cells bring the answer back.

    Recovery is 0 where a patch does nothing and 1 where it brings back all that the source's run is better by; beside it
    stand the values themselves and what an unrelated fact's activations do. An interrupted run continues.

    Example: `interp patch --ckpt organism:final --mode across --languages sw,ja,ru --limit 200 --figure`
    """
    from analyses.patching import run_patching
    from interp.results.attribution import AttributionResult

    with interruptible() as progress:
        series = run_patching(config, progress)
    if isinstance(series.results[0], AttributionResult):
        from figures.terminal.attribution import print_attribution

        print_attribution(series.names, series.results, console())
    else:
        from figures.terminal.patching import print_patching

        print_patching(series.names, series.results, config.metric, console())
    drawn = _draw(series, config) if config.figure else []
    conclude(series, drawn, config.out, figure=config.figure, strict=config.strict)


def _draw(series: Series[PatchingResult] | Series[AttributionResult], config: PatchingConfig) -> list[Path]:
    import pandas as pd

    from figures import plot
    from figures.patching import plot_languages, plot_patching
    from figures.style import save_figure
    from interp.results.patching import PatchingResult

    named = list(zip(series.names, series.results, strict=True))
    stem = config.out / series.suffix
    if config.attribution:
        data = pd.concat([result.to_frame().assign(checkpoint=name) for name, result in named])
        return save_figure(plot(series.results, series.names), stem, data)
    results = [(name, result) for name, result in named if isinstance(result, PatchingResult)]
    tables = [result.recovery(config.metric).assign(checkpoint=name) for name, result in results]
    figure = plot_patching([result for _, result in results], series.names, config.metric)
    files = save_figure(figure, stem, pd.concat(tables))
    for name, result in results:
        if len(result.languages) > 1:
            drawn = plot_languages(result, name, config.metric)
            stem = config.out / f"{name}.{series.suffix}.languages"
            files += save_figure(drawn, stem, result.to_frame(config.metric))
    return files
