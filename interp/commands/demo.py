"""`interp demo`: the study of the organism and of what SFT and GRPO made of it, from weights to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from interp.console import say

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the study: results, figures, report.")] = Path(
        "interp-demo"
    ),
) -> None:
    """Compare a small multilingual model with what SFT and GRPO made of it, and write a report.

    It runs the study `demo`: what each knows, and how specialized it is. Half a minute on two cores;
    a second run takes seconds.

    Example: `interp demo`
    """
    from analyses.study.file import read_study
    from interp.commands.study import run_and_report

    claims = run_and_report(read_study("demo", out))
    undecided = [claim for claim in claims if claim.verdict != "supported"]
    shown = escape(str(out))
    say("\n[b]The answer[/b]")
    for claim in claims:
        if claim.verdict == "supported":
            print(f"  {claim.sentence}")
    print(
        f"  Of {len(claims)} claims, {len(undecided)} are not carried by these results; see {out}/claims.csv."
    )
    say(
        "\n[b]What to try next[/b]\n"
        f"  look      {shown}/report.html in a browser\n"
        "  yours     interp specialization --ckpt PATH_OR_HUB_ID --ckpt ANOTHER --languages en,sw,ja "
        "--figure\n"
        "  your text interp specialization --ckpt PATH --data FOLDER_OF_TXT   (en.txt, sw.txt, ...)\n"
        "  a study   interp study run FILE.toml   (many checkpoints and measures, seeds, one report)"
    )
