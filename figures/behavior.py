"""Answers: accuracy per language with intervals and chance, consistency, and languages a fact is right in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool
from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.layers import legend_below, spaced
from figures.style import look, new_figure, width_for
from figures.table import Table, estimate, number
from interp.data.languages import language_classes
from interp.results.answers import AnswersResult
from interp.results.consistency import Mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["behavior_data", "drawings", "plot_behavior", "tables"]

Cells = tuple[str, ...]

_SCORINGS = {
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
_FEW_POINTS = 40  # of languages and checkpoints, beside which the shares of facts have room
_RULES = {"prior": "the relation's most frequent answer", "longest": "the longest option"}
_CONSISTENCY = {
    "total_consistency": "right in all languages",
    "agree_wrong": "one wrong answer in all",
    "agreement": "pairs that agree",
    "rankc": "RankC",
    "rankc_floor": "RankC floor",
    "rankc_chance": "RankC chance",
    "rankc_rescaled": "RankC rescaled",
    "rankc_both_wrong": "RankC both wrong",
}
_RANKC = (
    "RankC: how alike two languages rank the options, 0 to 1; floor and chance: of opposite and of "
    "independent rankings; rescaled: 0 at the floor; both wrong: of facts that both languages get wrong."
)
_TEXTS = {
    "resolved": "name one option",
    "empty": "have no letter or digit",
    "ended": "were ended by the model",
    "tokens": "mean length in tokens",
}


def drawings(
    results: Sequence[AnswersResult], names: Sequence[str], *, scoring: str = "auto", cluster: str = "group"
) -> list[Drawing]:
    """Accuracy per language, and in how many languages a fact is right."""
    results = [result.clustered(cluster) for result in results]
    draw = partial(plot_behavior, results, names, scoring=scoring)
    return [Drawing("", draw, behavior_data(results, names, scoring=scoring))]


def tables(
    results: Sequence[AnswersResult],
    names: Sequence[str],
    *,
    scoring: str = "auto",
    cluster: str = "group",
    baselines: Mapping[str, Mapping[str, float]] | None = None,
    strata: Mapping[str, Bool[np.ndarray, " fact"]] | None = None,
) -> list[Table]:
    """Right answers per language beside what rules score, over classes and strata of facts, and consistency.

    Args:
        results: Answers to the same facts.
        names: What to call them.
        scoring: How answers are scored.
        cluster: What facts of one cluster share.
        baselines: What rules score without a model: rule, then language.
        strata: Facts that are reported apart: name to a mask.
    """
    results = [result.clustered(cluster) for result in results]
    first, rules = results[0], baselines or {}
    scoring = first.checked(scoring)
    frames = [result.by_language(scoring) for result in results]
    sections = [_languages(first.languages, frames, rules)]
    rest: list[list[Cells]] = []
    if len(first.languages) > 1:
        rest = [
            _classes(results, scoring),
            _facts(results, scoring, strata or {}),
            _consistency(results, scoring),
            _histogram(results, scoring),
        ]
    rest.append(_texts(results, scoring))
    blank = ("",) * len(rules)
    sections += [[(row[0], *blank, *row[1:]) for row in section] for section in rest if section]
    rows = tuple(row for section in sections for row in (*section, ()))[:-1]
    title = f"Right answers: {_SCORINGS[scoring]}"
    return [Table(title, ("", *rules, *names), rows, _note(first, frames, rules))]


def _languages(
    languages: Sequence[str], frames: Sequence[pd.DataFrame], rules: Mapping[str, Mapping[str, float]]
) -> list[Cells]:
    rows = []
    for place, code in enumerate(languages):
        cells = [estimate(t.accuracy[place], t.low[place], t.high[place]) for t in frames]
        rows.append((code, *(number(values[code]) for values in rules.values()), *cells))
    return rows


def _classes(results: Sequence[AnswersResult], scoring: str) -> list[Cells]:
    """Means over all languages, and over each class that only some of them are of."""
    languages = results[0].languages
    parts = {
        name: codes for name, codes in language_classes(languages).items() if len(codes) < len(languages)
    }
    classes = {"all languages": languages, **parts}
    rows = _means([result.by_class(classes, scoring) for result in results], "")
    means = [result.over_languages(scoring) for result in results]
    return [*rows, ("mean over relations", *(number(mean.relation_macro) for mean in means))]


def _facts(
    results: Sequence[AnswersResult], scoring: str, strata: Mapping[str, Bool[np.ndarray, " fact"]]
) -> list[Cells]:
    return [
        *_means([result.by_spelling(scoring) for result in results], " items"),
        *_means([result.by_stratum(strata, scoring) for result in results], " facts"),
    ]


def _means(columns: Sequence[Mapping[str, Mean]], unit: str) -> list[Cells]:
    return [
        (f"{name} ({mean.n}{unit}{_in_clusters(mean)})", *(number(column[name].value) for column in columns))
        for name, mean in columns[0].items()
        if mean.n
    ]


def _in_clusters(mean: Mean) -> str:
    return f" in {mean.n_clusters} clusters" if mean.n_clusters else ""


def _consistency(results: Sequence[AnswersResult], scoring: str) -> list[Cells]:
    columns = [result.consistency(scoring) for result in results]
    return [(_CONSISTENCY[name], *(number(column[name]) for column in columns)) for name in columns[0]]


def _histogram(results: Sequence[AnswersResult], scoring: str) -> list[Cells]:
    counts = zip(*(result.histogram(scoring) for result in results), strict=True)
    return [(f"facts right in {k}", *map(str, row)) for k, row in enumerate(counts) if any(row)]


def _texts(results: Sequence[AnswersResult], scoring: str) -> list[Cells]:
    """What tells how generation fails."""
    means = [result.over_languages(scoring) for result in results]
    return [
        (f"texts: {label}", *(number(mean[name]) for mean in means))
        for name, label in _TEXTS.items()
        if name in means[0]
    ]


def _note(first: AnswersResult, frames: Sequence[pd.DataFrame], rules: Mapping[str, object]) -> str:
    sentences = [
        f"{len(first.fact_ids)} facts in {len(set(first.groups))} clusters. Accuracy with its 95 % "
        "interval (Wilson, over clusters)."
    ]
    if first.chance:
        ties = max(float(frame.ties.max()) for frame in frames)
        sentences.append(
            f"Chance {first.chance:.3f}; tied options share credit (in at most {ties:.3f} of a language's "
            "facts)."
        )
    if rules:
        rights = "; ".join(f"{rule}: {_RULES[rule]}" for rule in rules)
        sentences.append(f"Without a model, {rights}.")
    if not first.aligned:
        sentences.append(
            "Options are not known to be the same in all languages, so agreement and RankC are not available."
        )
    elif "ties" in frames[0] and len(first.languages) > 1:
        sentences.append(_RANKC)
    return " ".join(sentences)


def plot_behavior(results: Sequence[AnswersResult], names: Sequence[str], *, scoring: str = "auto") -> Figure:
    """Accuracy per language with its 95 % interval and chance; share of facts right in k languages."""
    languages = results[0].languages
    beside = len(languages) * len(results) <= _FEW_POINTS and width_for(7.5) >= 5
    with new_figure(7.5, 3.0 if beside else 5.2) as figure:
        if beside:
            left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        else:
            left, right = figure.subplots(2, 1)
        places, width = np.arange(len(languages)), 0.7 / len(results)
        for i, (result, name) in enumerate(zip(results, names, strict=True)):
            style, table = look(i), result.by_language(scoring)
            at = places + (i - (len(results) - 1) / 2) * width
            errors = np.maximum(0, np.stack([table.accuracy - table.low, table.high - table.accuracy]))
            left.errorbar(
                at, table.accuracy, errors, color=style.color, marker=style.marker, linestyle="", label=name,
                markersize=5 if beside else 3, linewidth=1.2 if beside else 0.5,
            )  # fmt: skip
            shares = result.histogram_shares(scoring)
            right.plot(shares, color=style.color, linestyle=style.line, marker=style.marker, markersize=4)
        if results[0].chance:
            left.axhline(
                results[0].chance, color="0.4", linestyle=":", label=f"chance {results[0].chance:.3g}"
            )
        crowded = len(languages) * 0.3 > figure.get_figwidth() * (0.5 if beside else 0.9)
        left.set_xticks(places, languages, rotation=90 if crowded else 0, fontsize=7 if crowded else 9)
        left.set_xlim(-0.6, len(languages) - 0.4)
        left.set(ylabel="accuracy", ylim=(0, 1.02))
        right.set(xlabel="languages in which a fact is right", ylabel="share of facts", ylim=(0, None))
        right.set_xticks(spaced(len(languages) + 1, 8))
        title = f"{_SCORINGS[results[0].checked(scoring)]}, {len(results[0].fact_ids)} facts"
        figure.suptitle(title, fontsize=10)
        legend_below(figure, left.get_legend_handles_labels()[0])
        return figure


def behavior_data(
    results: Sequence[AnswersResult], names: Sequence[str], *, scoring: str = "auto"
) -> pd.DataFrame:
    """The numbers of `plot_behavior`, tidy: checkpoint, scoring, quantity, place, n, n_clusters, value, ...

    ``accuracy`` and ``chance`` have a language as their place, ``share of facts`` the number of languages
    that they are right in.
    """
    import pandas as pd

    parts = []
    for result, name in zip(results, names, strict=True):
        table, shares = result.by_language(scoring), result.histogram_shares(scoring)
        columns = {"language": "place", "accuracy": "value"}
        accuracy = table[["language", "n", "n_clusters", "accuracy", "low", "high"]].rename(columns=columns)
        chance = pd.DataFrame({"place": list(result.languages), "value": result.chance})
        right = pd.DataFrame({"place": range(len(shares)), "value": shares})
        each = {"accuracy": accuracy, "chance": chance, "share of facts": right}
        parts += [part.assign(checkpoint=name, quantity=quantity) for quantity, part in each.items()]
    frame = pd.concat(parts, ignore_index=True).assign(scoring=results[0].checked(scoring))
    return frame[["checkpoint", "scoring", "quantity", "place", "n", "n_clusters", "value", "low", "high"]]
