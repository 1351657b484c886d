"""`interp ablate`: what each language loses without the units most specialized in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interp.commands.conclusion import conclude, interruptible
from interp.config.ablation import AblationConfig
from interp.console import console
from interp.flags import configured

if TYPE_CHECKING:
    from pathlib import Path

    from analyses.series import Series
    from interp.results.ablation import AblationResult

__all__ = ["ablate"]


@configured(AblationConfig)
def ablate(config: AblationConfig) -> None:
    """Remove the neurons or heads most specialized in each language, and ask the facts in all of them.

    Units are selected on one half of the facts and removed while the other is asked. The harm stands beside that of as many
    random units of the same layers. An interrupted run continues; a rerun reuses what is done.

    Example: `interp ablate --ckpt organism:final --units neurons --languages en,sw,ja --figure`
    """
    from analyses.ablation import run_ablation
    from figures.terminal.ablation import print_ablation

    with interruptible() as progress:
        series = run_ablation(config, progress)
    print_ablation(series.names, series.results, console())
    drawn = _draw(series, config.out) if config.figure else []
    conclude(series, drawn, config.out, figure=config.figure, strict=config.strict)


def _draw(series: Series[AblationResult], out: Path) -> list[Path]:
    from figures import plot
    from figures.ablation import ablation_data
    from figures.style import save_figure

    data = ablation_data(series.results, series.names)
    return save_figure(plot(series.results, series.names), out / series.suffix, data)
