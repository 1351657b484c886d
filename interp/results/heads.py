"""Language importance of attention heads (LAHIS), from per-item gradients of one scale per head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.errors import ResultError
from interp.results.units import UnitResult
from interp.stats import entropy, shares_of_total

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HeadsResult", "importance_information", "pairwise_overlap", "top_heads"]

_SCALE = 1000.0  # as published


def importance_information(share: Float[np.ndarray, " language *head"]) -> Float[np.ndarray, "*head"]:
    """What a unit of a head's importance tells of its language, nats: log(n_languages) - H(language | head).

    ``share`` is the head's part of all importance in that language, so languages weigh equally whatever the
    size of their loss. Range 0 (the same share in every language) to log(n_languages) (important in one
    only); 0 for a head without any importance. Weighted by the heads' shares it is the mutual information of
    language and head, as `activity_information` is of language and activity.
    """
    total = share.sum(axis=0)
    return np.where(total > 0, np.log(len(share)) - np.nan_to_num(entropy(share)), 0.0)


def top_heads(
    importance: Float[np.ndarray, "language layer head"], k: int
) -> Bool[np.ndarray, "language layer head"]:
    """The k most important heads of each language; equal values by position."""
    flat = importance.reshape(len(importance), -1)
    order = np.argsort(-flat, axis=1, kind="stable")[:, :k]
    mask = np.zeros(flat.shape, dtype=bool)
    np.put_along_axis(mask, order, True, axis=1)
    return mask.reshape(importance.shape)


def pairwise_overlap(mask: Bool[np.ndarray, "language layer head"]) -> Float[np.ndarray, "language language"]:
    """|A and B| / k for every pair of languages' top-k sets (0 to 1; the diagonal is 1)."""
    flat = mask.reshape(len(mask), -1).astype(float)
    return flat @ flat.T / flat.sum(axis=1)


@dataclass(frozen=True, eq=False, repr=False)
class HeadsResult(UnitResult):
    """Gradients of the language-modeling loss by one scale per head, summed per language and block.

    Attributes:
        magnitude: Sum over items of |gradient| * mask (nats).
        helpful: Number of items whose gradient times mask is negative: a larger scale would lower the loss.
        mask: 'frozen' (all ones) or 'trained' (upstream's, which drifts with every item).
    """

    magnitude: Float[np.ndarray, "language block layer head"]
    helpful: Int[np.ndarray, "language block layer head"]
    mask: str = "frozen"

    kind: ClassVar[str] = "heads"
    unit: ClassVar[str] = "head"
    score_name: ClassVar[str] = "specialization (nats)"

    @property
    def importance(self) -> Float[np.ndarray, "language layer head"]:
        """LAHIS importance: 1000 * (mean |gradient| * mask) * (share of items in which the head helps).

        Source: LAHIS (Linuxin-xxx/LAHIS); 'trained' repeats its drifting mask and so depends on the number
        and order of items: never compare two trained results of different sizes.
        """
        return self._importance(np.ones(self.n_blocks, dtype=bool))

    def activity(self, blocks: Bool[np.ndarray, " block"]) -> Float[np.ndarray, "language layer unit"]:
        """Each head's share of all importance in the language (0 to 1, summing to 1 over heads)."""
        return shares_of_total(np.clip(self._importance(blocks), 0, None), axis=(1, 2))

    @staticmethod
    def score(activity: Float[np.ndarray, "language layer unit"]) -> Float[np.ndarray, "layer unit"]:
        """The head's part of I(language; head), times the number of heads: the mean over heads is I itself.

        `importance_information` of a head counts by the head's share of all importance: a head that mattered
        in one item is not specialized. The mean over a model is 0 to log(n_languages) nats.
        """
        weight = activity.mean(axis=0) * activity[0].size
        return weight * importance_information(activity)

    @property
    def default_k(self) -> int:
        """2 % of all heads, as published (20 of 1024), at least one."""
        return max(1, int(0.02 * self.magnitude[0, 0].size))

    def selected(self) -> Bool[np.ndarray, "language layer unit"]:
        """The top 2 % of heads of each language."""
        return top_heads(self.importance, self.default_k)

    def mean_overlap(self) -> Float[np.ndarray, " language"]:
        """Overlap of each language's top heads with those of the other languages, averaged (0 to 1)."""
        overlap = pairwise_overlap(self.selected())
        return (overlap.sum(axis=1) - 1) / max(1, len(overlap) - 1)

    def by_language(self) -> pd.DataFrame:
        """One row per language: prompts, tokens, its most important head, and how far it shares top heads.

        ``top_head``: layer.head; ``shared``: mean overlap of its top heads with those of each other language
        (0 to 1).
        """
        n_heads = self.magnitude.shape[3]
        top = self.importance.reshape(len(self.languages), -1).argmax(axis=1)
        named = [f"{head // n_heads}.{head % n_heads}" for head in top.tolist()]
        return self._counts().assign(top_head=named, shared=self.mean_overlap())

    def layer_profile(self) -> Float[np.ndarray, "language layer"]:
        """Share of each language's top heads that lies in each layer (sums to 1)."""
        mask = self.selected()
        return mask.sum(axis=2) / mask.sum(axis=(1, 2))[:, None]

    def general(self, *, quantile: float = 0.98, at_least: int = 11) -> Bool[np.ndarray, "layer head"]:
        """Heads above the quantile of importance in at least so many languages (published: 0.98, 11 of 12).

        Raises:
            ResultError: More languages are asked for than there are.
        """
        if at_least > len(self.languages):
            raise ResultError(f"at_least={at_least}, but the result has {len(self.languages)} languages.")
        bars = np.quantile(self.importance, quantile, axis=(1, 2), keepdims=True)
        return (self.importance > bars).sum(axis=0) >= at_least

    def per_language(self) -> tuple[str, Float[np.ndarray, "language layer unit"]]:
        """Importance."""
        return "importance", self.importance

    def _importance(self, blocks: Bool[np.ndarray, " block"]) -> Float[np.ndarray, "language layer head"]:
        n = self.items[:, blocks].sum(axis=1)[:, None, None]
        return _SCALE * self.magnitude[:, blocks].sum(axis=1) / n * (self.helpful[:, blocks].sum(axis=1) / n)
