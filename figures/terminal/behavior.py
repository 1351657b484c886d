"""What checkpoints answer, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interp.results.answers import AnswersResult
from interp.results.consistency import Mean

__all__ = ["print_behavior"]

_SAID = {
    "sum": "multiple choice, log-probability summed",
    "token": "multiple choice, log-probability per token",
    "character": "multiple choice, log-probability per character",
    "byte": "multiple choice, log-probability per byte",
    "strict": "generated text is the answer",
    "boundary": "generated text has the answer at word boundaries",
    "anywhere": "generated text has the answer anywhere",
    "prefix": "generated text begins with the answer",
    "published": "generated text matches by PolyFact's rule for KLAR",
}


def print_behavior(
    names: Sequence[str],
    results: Sequence[AnswersResult],
    reading: str,
    console: Console,
    *,
    baselines: Mapping[str, Mapping[str, float]] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    masks: Mapping[str, Bool[np.ndarray, " fact"]] | None = None,
) -> None:
    """Print accuracy per language beside what rules score, over classes and strata, and consistency."""
    reading = results[0].checked(reading)
    table = Table(title=Text(f"Right answers: {_SAID[reading]}", style="italic"))
    rules = baselines or {}
    for header in ("", *rules, *names):
        table.add_column(header, justify="right" if header else "left")
    found = [result.by_language(reading) for result in results]
    means = [result.over_languages(reading) for result in results]
    first = results[0]
    for row, code in enumerate(first.languages):
        cells = [f"{t.accuracy[row]:.3f} [{t.low[row]:.3f}, {t.high[row]:.3f}]" for t in found]
        table.add_row(code, *(f"{values[code]:.3f}" for values in rules.values()), *cells)
    table.add_section()
    blank = [""] * len(rules)
    if len(first.languages) > 1:
        every = {"all languages": first.languages}
        parts = {
            name: codes for name, codes in (classes or {}).items() if not set(first.languages) <= set(codes)
        }
        _add_means(table, [r.by_class({**every, **parts}, reading) for r in results], blank, "")
        table.add_row("mean over relations", *blank, *(f"{mean.relation_macro:.3f}" for mean in means))
        table.add_section()
        _add_means(table, [r.by_spelling(reading) for r in results], blank, " items")
        _add_means(table, [r.by_stratum(masks or {}, reading) for r in results], blank, " facts")
        table.add_section()
        same = [result.consistency(reading) for result in results]
        for name in same[0]:
            table.add_row(name.replace("_", " "), *blank, *(f"{each[name]:.3f}" for each in same))
        table.add_section()
        counts = [result.histogram(reading) for result in results]
        for k in range(len(counts[0])):
            if any(each[k] for each in counts):
                table.add_row(f"facts right in {k}", *blank, *(str(each[k]) for each in counts))
    _add_shares(table, means, blank)
    console.print(table)
    console.print(Text(_footnote(first, found, rules), style="dim"))


def _add_means(table: Table, columns: Sequence[Mapping[str, Mean]], blank: Sequence[str], unit: str) -> None:
    for name, mean in columns[0].items():
        if mean.n:
            table.add_row(f"{name} ({mean.n}{unit})", *blank, *(f"{c[name].value:.3f}" for c in columns))


def _add_shares(table: Table, means: Sequence[pd.Series], blank: Sequence[str]) -> None:
    """What tells how generation fails."""
    shown = [name for name in ("resolved", "empty", "ended", "tokens") if name in means[0]]
    if shown:
        table.add_section()
    for name in shown:
        table.add_row(f"{name} (mean)", *blank, *(f"{mean[name]:.3f}" for mean in means))


def _footnote(first: AnswersResult, found: Sequence[pd.DataFrame], rules: Mapping[str, object]) -> str:
    said = [f"{len(first.fact_ids)} facts in {len(set(first.groups))} clusters; 95 % by Wilson over clusters"]
    if first.chance:
        ties = max(float(t.ties.max()) for t in found)
        said.append(f"a guess is right in {first.chance:.3f}")
        said.append(f"ties, which earn a share, in at most {ties:.3f} of a language's facts")
    if "prior" in rules:
        said.append("prior: the relation's most frequent answer")
    if not first.aligned:
        said.append("answers cannot be compared between languages, so agreement and RankC are not available")
    return "; ".join(said) + "."
