"""`interp evaluate`: what checkpoints answer in every language."""

from __future__ import annotations

from functools import partial
from typing import IO, TYPE_CHECKING

import typer

from interp.config import EvaluationConfig
from interp.console import console, no_bars_in_files, progress_bars, say_files
from interp.files import write_atomically
from interp.flags import configured

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluate"]


@configured(EvaluationConfig)
def evaluate(config: EvaluationConfig) -> None:
    """Ask facts in every language (multiple choice by log-likelihood): accuracy, consistency, changes with intervals.

    A rerun reuses what is done; another --normalization needs no model.

    Example: `interp evaluate --ckpt organism:final --ckpt organism:grpo --split validation --normalization sum`
    """
    from analyses.behaviour import run_evaluation
    from figures.terminal import print_behaviour, print_doubts

    no_bars_in_files()
    with progress_bars() as progress:
        study = run_evaluation(config, progress)
    print_behaviour(study.names, study.results, study.comparisons, study.normalization, console())
    for name, change in zip(study.names[1:], study.comparisons, strict=True):
        study.files.append(config.out / f"{study.names[0]}-to-{name}.{study.normalization}.csv")
        write_atomically(study.files[-1], partial(_write_csv, table=change))
    say_files(study.files)
    doubts = study.sanity()
    print_doubts(doubts, console())
    if doubts and config.strict:
        raise typer.Exit(1)


def _write_csv(stream: IO[bytes], table: pd.DataFrame) -> None:
    stream.write(table.to_csv(index=False).encode())
