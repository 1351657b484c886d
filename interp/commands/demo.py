"""`interp demo`: the organism and what SFT and GRPO made of it, compared in under two minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp.commands.measures import run_command
from interp.config import CheckpointOptions, DataOptions, NumericOptions, OutputOptions
from interp.console import console, progress_bars, say

if TYPE_CHECKING:
    import pandas as pd

    from analyses.comparison import Comparison

__all__ = ["demo"]

_TRAINED, _HELD_OUT = (f"{split}, unread, spelled otherwise" for split in ("train", "validation"))
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
    from interp.results.settings.specialization import SpecializationSettings

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
    say("\n[b]The answer[/b]")
    print(f"  {_knowledge(table.frame)}")
    for unit, comparisons in run.comparisons.items():
        print(f"  {unit.capitalize()}: {'; '.join(map(_specialization, comparisons))}.")
    say(
        "\n[b]What to try next[/b]\n"
        f"  look      {out}/neurons.png, {out}/heads.png\n"
        "  yours     interp specialization --ckpt PATH_OR_HUB_ID --ckpt ANOTHER --languages en,sw,ja "
        "--figure\n"
        "  your text interp specialization --ckpt PATH --data FOLDER_OF_TXT   (en.txt, sw.txt, ...)\n"
        f"  notebook  from interp import load_result; load_result('{out}/organism-final.neurons.npz')"
    )


def _knowledge(frame: pd.DataFrame) -> str:
    """What training changed where the base had not read the fact and English does not give the name."""
    changes = frame[frame.member != "base"].set_index(["stratum", "member"])
    parts = [
        ", ".join(
            f"{member} {row.change:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
            for member, row in changes.loc[stratum].iterrows()
        )
        for stratum in (_TRAINED, _HELD_OUT)
    ]
    return f"Accuracy on unread facts: {parts[0]} on those trained on; {parts[1]} on others (95 % intervals)."


def _specialization(comparison: Comparison) -> str:
    verdict = comparison.diagnosis.rstrip(".")
    return f"in {comparison.names[1]} {verdict[0].lower()}{verdict[1:]}"
