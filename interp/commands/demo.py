"""`interp demo`: the organism and what SFT and GRPO made of it, compared in under two minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interp.commands.measures import run_command
from interp.config import CheckpointOptions, DataOptions, NumericOptions, OutputOptions
from interp.console import console, progress_bars, say

__all__ = ["demo"]

_CHECKPOINTS = ("organism:final", "organism:sft", "organism:grpo")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for results and figures.")] = Path("interp-demo"),
) -> None:
    """Compare a small multilingual model with what SFT and GRPO made of it: knowledge and specialization.

    Takes under two minutes on two cores. Example: `interp demo`
    """
    from analyses.family import shipped_table
    from figures.style import write_table
    from figures.terminal import print_family
    from interp.results.specialization import SpecializationSettings

    with progress_bars() as progress:
        table = shipped_table(("sft", "grpo"), progress)
    print_family(table.frame, console())
    write_table(table.frame, out / "answers.csv")
    run = run_command(
        "specialization",
        CheckpointOptions(_CHECKPOINTS),
        DataOptions(limit=300),
        SpecializationSettings(head_items=150),
        NumericOptions(),
        OutputOptions(out, figure=True),
    )
    sentences = [
        f"{comparison.names[1]}: {unit} {comparison.diagnosis[0].lower()}{comparison.diagnosis[1:]}"
        for unit, comparisons in run.comparisons.items()
        for comparison in comparisons
    ]
    say("\n[b]The answer[/b]")
    for sentence in sentences:
        print(f"  {sentence}")
    say(
        "\n[b]What to try next[/b]\n"
        f"  look      {out}/neurons.png, {out}/heads.png\n"
        "  yours     interp specialization --ckpt PATH_OR_HUB_ID --ckpt ANOTHER --languages en,sw,ja "
        "--figure\n"
        "  your text interp specialization --ckpt PATH --data FOLDER_OF_TXT   (en.txt, sw.txt, ...)\n"
        f"  notebook  from interp import load_result; load_result('{out}/organism-final.neurons.npz')"
    )
