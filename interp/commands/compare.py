"""`interp compare`: two saved results, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interp.console import console, say_files
from interp.errors import ConfigError

__all__ = ["compare"]


def compare(
    before: Annotated[Path, typer.Argument(help="Saved result (.npz).")],
    after: Annotated[Path, typer.Argument(help="Saved result of another checkpoint on the same prompts.")],
    out: Annotated[
        Path | None, typer.Option(help="Also write JSON, figure (PNG, PDF) and CSV with this stem.")
    ] = None,
) -> None:
    """Compare two saved results of any kind: changes with intervals, and what weakens them.

    Example: `interp compare results/base.neurons.npz results/grpo.neurons.npz --out base-to-grpo`
    """
    import figures
    from analyses.comparison import compare as compare_results
    from figures.style import save_figure
    from figures.table import print_tables
    from interp.results import load_result

    if out is not None and not out.name:
        raise ConfigError(f"--out is '{out}'; a stem such as {out / 'comparison'} is expected.")
    comparison = compare_results(load_result(before), load_result(after))
    print_tables(figures.tables(comparison), console())
    print(comparison.diagnosis)
    if out is not None:
        files = [comparison.save(out.with_name(f"{out.name}.json"))]
        for drawing in figures.drawings(comparison):
            files += save_figure(drawing.draw(), out, drawing.data)
        say_files(files)
