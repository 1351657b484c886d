"""`interp routing`: whether languages reach an answer through the same heads and neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interp.commands.conclusion import conclude, interruptible
from interp.config.routing import RoutingConfig
from interp.console import console
from interp.flags import configured

if TYPE_CHECKING:
    from pathlib import Path

    from analyses.series import Series
    from interp.results.routing import RoutingResult

__all__ = ["routing"]


@configured(RoutingConfig)
def routing(config: RoutingConfig) -> None:
    """Attribute every answer to heads and neurons in each language, and see how far the languages use the same ones.

    Overlap stands beside chance: the overlap of one fact in one language with another fact of its relation in the other.
    An interrupted run continues; a rerun reuses what is done.

    Example: `interp routing --ckpt organism:final --ckpt organism:grpo --languages en,sw,ja --figure`
    """
    from analyses.routing import run_routing
    from figures.terminal.routing import print_routing

    with interruptible() as progress:
        series = run_routing(config, progress)
    print_routing(series.names, series.results, console())
    drawn = _draw(series, config.out) if config.figure else []
    conclude(series, drawn, config.out, figure=config.figure, strict=config.strict)


def _draw(series: Series[RoutingResult], out: Path) -> list[Path]:
    from figures import plot
    from figures.routing import plot_pairs, routing_data
    from figures.style import save_figure

    data = routing_data(series.results, series.names)
    files = save_figure(plot(series.results, series.names), out / series.suffix, data)
    for name, result in zip(series.names, series.results, strict=True):
        stem = out / f"{name}.{series.suffix}.languages"
        files += save_figure(plot_pairs(result, name), stem, result.by_language())
    return files
