"""Accuracy and cross-lingual consistency of multiple-choice answers, from scores in one option order.

Scores are ``[fact, language, option]``, higher is better; option j of a fact is the same entity in every
language. Facts may have pools of different sizes: an absent option is NaN or -inf in every language.
Everything is a function of the scores' order within one fact and language, so any monotone transform of the
scores gives the same values.

Ties. Whatever depends on the order of tied options is its expectation over all orders, drawn anew in each
language: credit, agreement, RankC. So a language whose scores are all equal is at chance. The published code
puts the lower option index first, by which two such languages *agree*; `published_order` gives its numbers.
Report `tie_rate` and `truncated` beside any consistency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.errors import ResultError
from interp.stats import known_mean, ratio

__all__ = [
    "Mean",
    "accuracy",
    "agree_wrong",
    "both_wrong",
    "consistency_histogram",
    "credit",
    "filled",
    "flaws_of_options",
    "group_means",
    "language_pairs",
    "mean_over_facts",
    "pair_mean",
    "pairwise_agreement",
    "pool_sizes",
    "published_order",
    "relation_macro",
    "relation_means",
    "strata",
    "tie_rate",
    "top_slot",
    "total_consistency",
    "truncated",
]

_TRUNCATED = -1e9  # the published evaluator's score of an option of which no token is left


@dataclass(frozen=True)
class Mean:
    """A mean and the number of values it stands on (languages, relations or facts); NaN on none.

    Attributes:
        value: The mean.
        n: Values that are known.
        n_clusters: Clusters of facts that these are in; 0 where values are not of facts in clusters.
    """

    value: float
    n: int
    n_clusters: int = 0


def flaws_of_options(
    scores: Float[np.ndarray, "fact language option"], gold: Int[np.ndarray, " fact"]
) -> Iterator[tuple[str, str]]:
    """Facts whose options are not the same in all languages, or whose right answer is none of them."""
    none = np.isnan(scores)
    if (none != none[:, :1]).any():
        yield "options have a score in one language and NaN in another", "the same options in all languages"
    if none[np.arange(len(gold)), :, gold].any():
        yield "right answers have no score", "'gold' to be an option of its fact"


def pool_sizes(scores: Float[np.ndarray, "fact language option"]) -> Int[np.ndarray, " fact"]:
    """Number of options of each fact.

    Raises:
        ResultError: A fact has different options in two languages, or fewer than two.
    """
    here = ~np.isneginf(filled(scores))
    unequal = np.flatnonzero((here != here[:, :1]).any(axis=(1, 2)))
    if unequal.size:
        raise ResultError(
            f"Fact {unequal[0]} has different options in different languages "
            f"({here[unequal[0]].sum(axis=1).tolist()} per language; {unequal.size} such facts), but a slot "
            "must be the same entity in all. Align the options, or leave the fact out of every language."
        )
    pools = here[:, 0].sum(axis=1)
    small = np.flatnonzero(pools < 2)
    if small.size:
        raise ResultError(
            f"Fact {small[0]} has {pools[small[0]]} options, but a choice needs 2 ({small.size} such facts). "
            "Leave it out."
        )
    return pools


def truncated(
    scores: Float[np.ndarray, "fact language option"], *, at: float = _TRUNCATED
) -> Bool[np.ndarray, "fact language"]:
    """Where no option was scored at all: every option of the item is at or below ``at``.

    The published evaluator cuts prompts that are too long, gives every option -1e9 and counts the answer as
    the first option. Such an item measures nothing: report their number, and leave out of a comparison the
    facts that were truncated for any of its models.
    """
    return filled(scores).max(axis=2) <= at


def top_slot(scores: Float[np.ndarray, "fact language option"]) -> Int[np.ndarray, "fact language"]:
    """The option with the highest score; the lowest index of a tie, as published."""
    pool_sizes(scores)
    return filled(scores).argmax(axis=2)


def credit(
    scores: Float[np.ndarray, "fact language option"], gold: Int[np.ndarray, " fact"]
) -> Float[np.ndarray, "fact language"]:
    """1 where the gold option alone has the highest score, 1/k where k options share it, 0 otherwise.

    This is the expectation over a fair choice among the tied options; the published code instead takes the
    lowest index, which `top_slot` gives.

    Raises:
        ResultError: The gold option is outside of a fact's pool.
    """
    pool_sizes(scores)
    ranked, facts = filled(scores), np.arange(len(scores))
    known = (gold >= 0) & (gold < scores.shape[2])
    absent = np.flatnonzero(~known | np.isneginf(ranked[facts, 0, np.where(known, gold, 0)]))
    if absent.size:
        raise ResultError(
            f"Fact {absent[0]}: gold is option {gold[absent[0]]}, which is not in the fact's pool "
            f"({absent.size} such facts). Check that gold is in the canonical order, counted from 0."
        )
    return _top_shares(scores)[facts, :, gold]


def published_order(
    scores: Float[np.ndarray, "fact language option"],
) -> Float[np.ndarray, "fact language option"]:
    """Scores of the same order without ties: the lower index comes first, as in the published code."""
    place = np.argsort(np.argsort(-filled(scores), axis=2, kind="stable"), axis=2)
    return np.where(np.isneginf(filled(scores)), np.nan, -place.astype(float))


def tie_rate(scores: Float[np.ndarray, "fact language option"]) -> Float[np.ndarray, " language"]:
    """Share of a language's facts whose highest score is shared by two or more options (0 to 1)."""
    pool_sizes(scores)
    return (_top_shares(scores).max(axis=2) < 1).mean(axis=0)


def accuracy(credit: Float[np.ndarray, "fact language"]) -> Float[np.ndarray, " language"]:
    """Mean credit of each language (0 to 1)."""
    return credit.mean(axis=0)


def group_means(
    values: Float[np.ndarray, " language"], languages: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> dict[str, Mean]:
    """Macro mean over the languages of each group, with the number of the group's languages that are here.

    A benchmark often lacks some languages of a group (Global-MMLU-Lite has no Russian), so two means compare
    only if their sizes agree: print them.
    """
    place = {code: i for i, code in enumerate(languages)}
    return {name: _mean(values[[place[c] for c in codes if c in place]]) for name, codes in groups.items()}


def total_consistency(correct: Bool[np.ndarray, "fact language"]) -> float:
    """Share of facts that are right in every language (0 to 1)."""
    return float(correct.all(axis=1).mean())


def consistency_histogram(correct: Bool[np.ndarray, "fact language"]) -> Int[np.ndarray, " count"]:
    """Number of facts that are right in exactly k languages, for k from 0 to their number L.

    The mean k is L times the mean accuracy, and the last entry over all facts is the total consistency.
    """
    return np.bincount(correct.sum(axis=1), minlength=correct.shape[1] + 1)


def agree_wrong(
    scores: Float[np.ndarray, "fact language option"], gold: Int[np.ndarray, " fact"]
) -> Float[np.ndarray, " fact"]:
    """1 where all languages have the same top option and it is not gold; of ties the chance of it."""
    pool_sizes(scores)
    same = _top_shares(scores).prod(axis=1)
    return np.asarray(same.sum(axis=1) - same[np.arange(len(same)), gold])


def pairwise_agreement(
    scores: Float[np.ndarray, "fact language option"],
) -> Float[np.ndarray, "fact language language"]:
    """1 where two languages have the same top option, else 0; of ties, the chance that they have.

    `mean_over_facts` and `pair_mean` summarize it. A language agrees with itself.
    """
    pool_sizes(scores)
    top = _top_shares(scores)
    agreed = np.einsum("fao,fbo->fab", top, top)
    each = np.arange(scores.shape[1])
    agreed[:, each, each] = 1
    return agreed


def both_wrong(correct: Bool[np.ndarray, "fact language"]) -> Bool[np.ndarray, "fact language language"]:
    """Where both languages of a pair are wrong: what they agree on there is not knowledge of the fact."""
    return ~correct[:, :, None] & ~correct[:, None, :]


def mean_over_facts(
    values: Float[np.ndarray, "fact language language"],
    keep: Bool[np.ndarray, "fact language language"] | Bool[np.ndarray, " fact"] | None = None,
) -> Float[np.ndarray, "language language"]:
    """Mean over the facts of ``keep`` for each pair of languages; NaN for a pair that keeps none."""
    if keep is None:
        return values.mean(axis=0)
    weights = keep if keep.ndim == 3 else np.broadcast_to(keep[:, None, None], values.shape)
    return ratio(np.where(weights, values, 0.0).sum(axis=0), weights.sum(axis=0))


def pair_mean(
    values: Float[np.ndarray, "*fact language language"], anchor: int | None = None
) -> Float[np.ndarray, "*fact"]:
    """Mean over unordered pairs of different languages, per fact or of a matrix.

    NaN if the value of any pair is. With ``anchor``, the index of a language (English in the published
    ``en_x``), only the pairs with that language count.

    Raises:
        ResultError: There is only one language.
    """
    if values.shape[-1] < 2:
        raise ResultError("A mean over pairs needs 2 languages or more, but there is 1.")
    pairs = [pair for pair in language_pairs(values.shape[-1]) if anchor is None or anchor in pair]
    first, second = zip(*pairs, strict=True)
    return np.asarray(values[..., first, second].mean(axis=-1))


def strata(
    values: Float[np.ndarray, " fact"],
    masks: Mapping[str, Bool[np.ndarray, " fact"]],
    clusters: Sequence[str] = (),
) -> dict[str, Mean]:
    """Mean of a per-fact quantity over the facts of each mask, with their number; NaN does not count.

    With ``clusters``, a label per fact, also the number of these.
    """
    labels = np.asarray(clusters) if len(clusters) else None
    found = {}
    for name, mask in masks.items():
        mean, known = _mean(values[mask]), mask & ~np.isnan(values)
        n_clusters = 0 if labels is None else len(np.unique(labels[known]))
        found[name] = Mean(mean.value, mean.n, n_clusters)
    return found


def relation_means(values: Float[np.ndarray, " fact"], relations: Sequence[str]) -> dict[str, Mean]:
    """Mean of a per-fact quantity over the facts of each relation, in order of first appearance."""
    names = np.asarray(relations)
    return strata(values, {name: names == name for name in dict.fromkeys(relations)})


def relation_macro(values: Float[np.ndarray, " fact"], relations: Sequence[str]) -> Mean:
    """Mean over relations of their means, with their number: a large relation weighs as a small one."""
    return _mean(np.array([mean.value for mean in relation_means(values, relations).values()]))


def _mean(values: Float[np.ndarray, " item"]) -> Mean:
    return Mean(known_mean(values), int((~np.isnan(values)).sum()))


def filled(scores: Float[np.ndarray, "fact language option"]) -> Float[np.ndarray, "fact language option"]:
    """Absent options as -inf, so that every present one comes before them."""
    return np.where(np.isnan(scores), -np.inf, scores)


def _top_shares(
    scores: Float[np.ndarray, "fact language option"],
) -> Float[np.ndarray, "fact language option"]:
    """Chance of each option to come first: 1, or 1/k of k that share the highest score."""
    ranked = filled(scores)
    best = ranked == ranked.max(axis=2, keepdims=True)
    return best / best.sum(axis=2, keepdims=True)


def language_pairs(n_languages: int) -> Iterator[tuple[int, int]]:
    """Every unordered pair of different languages, by position."""
    return ((a, b) for a in range(n_languages) for b in range(a + 1, n_languages))
