"""Whether languages reach an answer through the same units: overlap of attributions, beside chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from interp.errors import ResultError, nearest
from interp.results.base import FactResult, Provenance
from interp.results.fields import Along, FactIds, Languages, Lengths, Numbers, OneOf, PerFact
from interp.stats import interval_text, known_mean, ratio

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KINDS", "RoutingResult"]

KINDS = ("cosine", "top")
"""How two attributions are compared: cosine of all units, or Jaccard index of the units that carry most."""

_ROUNDING = 1e-5  # of float32 inner products of a thousand units
_ACROSS = ("overlap above chance", "specific to the fact")  # quantities that are given across scripts as well


@dataclass(frozen=True, eq=False, repr=False)
class RoutingResult(FactResult):
    """Inner products of the attributions of every fact in all languages, and of its partner's.

    An attribution says how much each unit adds to the contrast of right and wrong answers (see
    `interp.measure.contrasts`): gradient times activation, summed over tokens, against a baseline of zero.
    Facts stand in pairs, 0 and 1, 2 and 3, ...: another subject, another answer, the same relation (see
    `interp.data.partners`).

    * overlap: of one fact in two languages. Includes what every question has in common, and every fact of a
      relation.
    * chance: of a fact in one language and its partner in the other, both ways round. Languages that share
      nothing but what all facts of a relation share have overlap = chance; the excess is the route that
      belongs to the fact.
    * specific: the cosine of what remains when the partner's attribution is taken away in each language. All
      that the questions of a language have in common cancels; its expectation is 0 without a shared route
      whatever the size of that common part, by which an excess is diluted. 1 is the same route.

    Attributes:
        languages: Codes, in the order of the language axes.
        scripts: Script of each language.
        fact_ids: In the order of the fact axis.
        relations: Relation of each fact.
        groups: Cluster of each fact; partners go together.
        units: Kinds of units, in the order of the unit axis: ``heads``, ``neurons``.
        top: How many units of a layer count as carrying most, and, last, how many of all layers.
        contrast: Of a fact's right answer with the wrong ones, in logits.
        dots: Inner product of a fact's attributions in two languages.
        cross: Of the first fact of a pair in one language and the second in another.
        shared: How many of the units that carry most are the same in two languages; last, over all layers.
        shared_cross: The same between the first fact of a pair and the second.
        provenance: Where it comes from.
    """

    languages: Languages
    scripts: Annotated[tuple[str, ...], Along("language")]
    fact_ids: FactIds
    relations: PerFact
    groups: PerFact
    units: Annotated[tuple[str, ...], Along("unit", unique=True), OneOf(("heads", "neurons"))]
    top: Annotated[Int[np.ndarray, "unit places"], Numbers(1)]
    contrast: Float[np.ndarray, "fact language"]
    dots: Float[np.ndarray, "unit fact language language layer"]
    cross: Float[np.ndarray, "unit pair language language layer"]
    shared: Annotated[Int[np.ndarray, "unit fact language language places"], Numbers(0, most="top")]
    shared_cross: Annotated[Int[np.ndarray, "unit pair language language places"], Numbers(0, most="top")]
    provenance: Provenance

    headlines: ClassVar[Mapping[str, str]] = {
        "neurons: overlap above chance": "the overlap of languages' routes through MLP neurons above chance",
        "heads: overlap above chance": "the overlap of languages' routes through heads above chance",
    }
    kind: ClassVar[str] = "routing"
    lengths: ClassVar[Lengths] = {
        "fact": lambda n: 2 * n["pair"],
        "places": lambda n: n["layer"] + 1,
    }
    shortest: ClassVar[Mapping[str, int]] = {"language": 2}

    def flaws(self) -> Iterator[tuple[str, str]]:
        """Partners of two clusters or relations; an inner product of an attribution with itself below 0."""
        for name in ("groups", "relations"):
            labels = getattr(self, name)
            if labels[::2] != labels[1::2]:
                yield f"'{name}' differ between the two facts of a pair", "the same of both"
        if (np.diagonal(self.dots, axis1=2, axis2=3) < 0).any():
            yield "'dots' has a negative square", "a number of at least 0"

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of different languages, in the order of a pair axis."""
        return tuple((self.languages[a], self.languages[b]) for a, b in zip(*self._pairs, strict=True))

    def overlap(self, kind: str = "cosine") -> Float[np.ndarray, "unit fact language_pair places"]:
        """Overlap of two languages on one fact, per layer and, last, over all layers.

        Cosine: -1 to 1, NaN where an attribution is zero. Top: 0 to 1.

        Raises:
            ResultError: The kind is unknown.
        """
        a, b = self._pairs
        if _checked(kind) == "top":
            return _jaccard(self.shared[:, :, a, b], self.top)
        size = self._norms
        return ratio(_with_all(self.dots)[:, :, a, b], size[:, :, a] * size[:, :, b])

    def chance(self, kind: str = "cosine") -> Float[np.ndarray, "unit fact language_pair places"]:
        """Overlap of a fact in one language and its partner in the other, the mean of both ways round.

        Raises:
            ResultError: The kind is unknown.
        """
        a, b = self._pairs
        if _checked(kind) == "top":
            both = [_jaccard(self.shared_cross[:, :, i, j], self.top) for i, j in ((a, b), (b, a))]
        else:
            cross, one, other = _with_all(self.cross), self._norms[:, ::2], self._norms[:, 1::2]
            both = [ratio(cross[:, :, i, j], one[:, :, i] * other[:, :, j]) for i, j in ((a, b), (b, a))]
        return np.repeat((both[0] + both[1]) / 2, 2, axis=1)

    def specific(self) -> Float[np.ndarray, "unit fact language_pair places"]:
        """Cosine of two languages' differences between a fact and its partner; the same for both of them.

        NaN where a fact and its partner have the same attribution, up to rounding.
        """
        a, b = self._pairs
        dots, cross = _with_all(self.dots), _with_all(self.cross)
        both = dots[:, ::2] + dots[:, 1::2]
        summed = both - cross - cross.swapaxes(2, 3)
        square, scale = (np.diagonal(m, axis1=2, axis2=3).swapaxes(2, 3) for m in (summed, both))
        size = np.sqrt(np.where(square > _ROUNDING * scale, square, 0))
        return np.repeat(ratio(summed[:, :, a, b], size[:, :, a] * size[:, :, b]), 2, axis=1)

    def quantities(self) -> dict[str, Float[np.ndarray, " fact"]]:
        """The contrast, and the mean of all layers and pairs of languages: overlap, excess, what is specific.

        ``across scripts``: of pairs of languages in different scripts, where no spelling makes a route look
        shared.
        """
        per_fact = {"contrast, logits": self.contrast.mean(axis=1, dtype=np.float64)}
        parts = self._parts()
        apart = np.array([self.scripts[a] != self.scripts[b] for a, b in zip(*self._pairs, strict=True)])
        for number, unit in enumerate(self.units):
            for name, values in parts.items():
                per_fact[f"{unit}: {name}"] = known_mean(values[number, :, :, -1], axis=1)
                if name in _ACROSS and apart.any() and not apart.all():
                    per_fact[f"{unit}: {name}, across scripts"] = known_mean(
                        values[number][:, apart, -1], axis=1
                    )
        return per_fact

    def zero(self, quantity: str) -> float | None:
        """None for the overlap that mismatched facts have as well: see what is above chance."""
        return None if quantity.endswith(": overlap") else 0.0

    def by_language(self) -> pd.DataFrame:
        """One row per kind of unit and pair of languages: means of all quantities over facts and layers.

        ``low`` and ``high`` are the 95 % interval of the overlap above chance, over ``n_clusters`` of facts;
        ``p`` that of its being zero.
        """
        import pandas as pd

        parts = {name: values[..., -1] for name, values in self._parts().items()}
        means = {name: known_mean(values, axis=1) for name, values in parts.items()}
        rows = []
        for u, unit in enumerate(self.units):
            for p, (one, other) in enumerate(self.pairs):
                row: dict[str, Any] = {"units": unit, "one": one, "other": other}
                row |= {name: values[u, p] for name, values in means.items()}
                interval = self.estimate(parts[_ACROSS[0]][u, :, p])
                row |= {"n": interval.n, "n_clusters": interval.n_clusters}
                rows.append(row | {"low": interval.low, "high": interval.high, "p": interval.p})
        return pd.DataFrame(rows)

    def matrix(
        self, unit: str
    ) -> tuple[Float[np.ndarray, "language language"], Float[np.ndarray, "language language"]]:
        """Overlap above chance of every two languages, over all layers, and its p of being zero.

        NaN of a language with itself; p stands above the diagonal alone, once for each pair.
        """
        table = self.by_language()
        table, n = table[table.units == unit], len(self.languages)
        values, p = np.full((n, n), np.nan), np.full((n, n), np.nan)
        for a, b in (self._pairs, self._pairs[::-1]):
            values[a, b] = table[_ACROSS[0]]
        p[self._pairs] = table.p
        return values, p

    def with_others(self, unit: str) -> Float[np.ndarray, " language"]:
        """Overlap above chance, over all layers, of each language: the mean of its pairs that have one."""
        means: np.ndarray = known_mean(self.matrix(unit)[0], axis=1)
        return means

    def by_layer(self, kind: str = "cosine") -> pd.DataFrame:
        """One row per kind of unit and layer: overlap, chance and excess with 95 % intervals over clusters.

        Columns ``overlap``, ``overlap_low``, ``overlap_high``, and so on; the mean over pairs of languages.
        """
        import pandas as pd

        overlap, chance = self.overlap(kind), self.chance(kind)
        shown = {"overlap": overlap, "chance": chance, "excess": overlap - chance}
        rows = []
        for number, unit in enumerate(self.units):
            for layer in range(self.dots.shape[-1]):
                row: dict[str, Any] = {"units": unit, "layer": layer}
                for name, values in shown.items():
                    interval = self.estimate(known_mean(values[number, :, :, layer], axis=1))
                    row |= interval.columns(name, f"{name}_")
                rows.append(row)
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """One row per kind of unit, fact and pair of languages: all quantities over all layers."""
        import pandas as pd

        n_pairs = len(self.pairs)
        frames = []
        for number, unit in enumerate(self.units):
            columns = {name: values[number, :, :, -1].ravel() for name, values in self._parts().items()}
            where = {
                "units": unit,
                "fact_id": np.repeat(self.fact_ids, n_pairs),
                "relation": np.repeat(self.relations, n_pairs),
                "one": [one for one, _ in self.pairs] * len(self.fact_ids),
                "other": [other for _, other in self.pairs] * len(self.fact_ids),
            }
            frames.append(pd.DataFrame({**where, **columns}))
        return pd.concat(frames, ignore_index=True)

    def diagnostics(self) -> list[str]:
        """What makes the result doubtful, in words; empty if nothing does."""
        diagnostics = super().diagnostics()
        gap = self.estimate(next(iter(self.quantities().values())))
        if not gap.low > 0:
            diagnostics.append(
                f"Right answers are not above wrong ones (mean contrast {gap.estimate:.3g} logits, 95 % "
                f"{interval_text(gap.low, gap.high, '.3g')}; one of {gap.mde():.3g} would have been found "
                "in 80 %), so these are "
                "routes to no answer. Is the prompt_format what the model knows?"
            )
        return diagnostics

    def __repr__(self) -> str:
        lines = [
            f"  {row.quantity:<36} {row.mean:+.3f}  {interval_text(row.low, row.high, '+.3f')} 95 %"
            for row in self.summary().itertuples()
        ]
        head = (
            f"RoutingResult of {self.provenance.checkpoint or 'a model'} on "
            f"{self.provenance.prompts or 'facts'}: {len(self.fact_ids)} facts in {len(set(self.groups))} "
            f"clusters, {len(self.languages)} languages"
        )
        return "\n".join([head, *lines])

    @property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        return np.triu_indices(len(self.languages), k=1)

    @property
    def _norms(self) -> Float[np.ndarray, "unit fact language places"]:
        return np.sqrt(np.diagonal(_with_all(self.dots), axis1=2, axis2=3)).swapaxes(2, 3)

    def _parts(self) -> dict[str, Float[np.ndarray, "unit fact language_pair places"]]:
        overlap = self.overlap()
        return {
            "overlap": overlap,
            "overlap above chance": overlap - self.chance(),
            "specific to the fact": self.specific(),
            "top units above chance": self.overlap("top") - self.chance("top"),
        }


def _checked(kind: str) -> str:
    if kind not in KINDS:
        raise ResultError(f"No overlap '{kind}'.{nearest(kind, KINDS)} There is: {', '.join(KINDS)}.")
    return kind


def _with_all(dots: np.ndarray) -> np.ndarray:
    """Per layer, and last the sum over layers: the inner product of the whole vectors."""
    exact = dots.astype(np.float64)
    return np.concatenate([exact, exact.sum(axis=-1, keepdims=True)], axis=-1)


def _jaccard(shared: np.ndarray, top: np.ndarray) -> np.ndarray:
    """|A and B| / |A or B| of sets of equal size."""
    return shared / (2 * top[:, None, None, :] - shared)
