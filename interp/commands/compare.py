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
    """Compare two saved results: change per layer with interval, noise floor, overlap, and a verdict.

    Example: `interp compare results/base.neurons.npz results/grpo.neurons.npz --out base-to-grpo`
    """
    from analyses.changes import Changes
    from analyses.comparison import compare_results
    from figures import plot
    from figures.style import save_figure
    from figures.terminal import print_changes, print_comparison
    from interp.results import load_result

    if out is not None and not out.name:
        raise ConfigError(f"--out is '{out}'; a stem such as {out / 'comparison'} is expected.")
    comparison = compare_results(load_result(before), load_result(after))
    if isinstance(comparison, Changes):
        print_changes(comparison, console())
    else:
        print_comparison(comparison, console())
    if out is not None:
        drawn = save_figure(plot(comparison), out, comparison.to_frame())
        say_files([comparison.save(out.with_name(out.name + ".json")), *drawn])
