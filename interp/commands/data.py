"""`interp data ...`: check a file of facts, rebuild the embedded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interp.console import say_files

__all__ = ["data_app"]

data_app = typer.Typer(
    no_args_is_help=True, help="Facts: check a file of your own, rebuild the embedded ones."
)


@data_app.command("check")
def data_check(
    source: Annotated[str, typer.Argument(help="Facts as .jsonl or .parquet, or a benchmark: klar:DIR, ...")],
) -> None:
    """Report every violation of the facts schema with its row; exit code 2 if there is one.

    A benchmark is read as a command reads it: what is refused, and what is left out or doubtful.

    Example: `interp data check my-facts.jsonl`
    """
    from interp.data.check import check_facts
    from interp.data.sources import BENCHMARKS, open_facts

    if source.partition(":")[0] in BENCHMARKS and not Path(source).exists():
        facts = open_facts(source)
        print(facts)
        print(f"  note       {facts.note or 'nothing was left out'}")
        return
    report = check_facts(source)
    print(report)
    if report.violations:
        raise typer.Exit(2)


@data_app.command("build-cldr")
def data_build_cldr(
    out: Annotated[Path, typer.Option(help="Where to write the facts file.")] = Path("cldr_facts.json"),
) -> None:
    """Rebuild the embedded facts from Babel's CLDR (needs the 'data' extra).

    Example: `interp data build-cldr --out cldr_facts.json`
    """
    from interp.data.sources.cldr_build import build_cldr

    build_cldr(out)
    say_files([out])


@data_app.command("build-lexicon")
def data_build_lexicon(
    out: Annotated[Path, typer.Option(help="Where to write the names.")] = Path("cldr_lexicon.json"),
) -> None:
    """Rebuild the names that the concept lexicon has beside those of the facts (needs the 'data' extra).

    Example: `interp data build-lexicon --out cldr_lexicon.json`
    """
    from interp.data.sources.cldr_build import build_lexicon

    build_lexicon(out)
    say_files([out])


@data_app.command("build-characters")
def data_build_characters(
    out: Annotated[Path, typer.Option(help="Where to write the table.")] = Path("chinese_characters.json"),
) -> None:
    """Rebuild the table of traditional and simplified characters from OpenCC (needs the 'data' extra).

    Example: `interp data build-characters --out chinese_characters.json`
    """
    from interp.data.chinese import build_characters

    build_characters(out)
    say_files([out])
