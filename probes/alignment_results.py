"""Alignment results: which facts find their translation, and how alike languages' clouds are (numpy only)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from interp.results.base import Note, Provenance
from interp.results.fields import Along, FactIds, Languages, Lengths, Numbers, PerFact
from interp.stats import ALPHA, clustered_share, holm, interval_text, ratio
from probes.layers import LayerResult, layer_name
from probes.settings import AlignmentSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PIVOT", "AlignmentResult", "AlignmentSettings", "kinds_of_pairs"]

PIVOT = "en"
"""The language whose pairs are told from the others."""
_FEW_FACTS = 100


def kinds_of_pairs(languages: Sequence[str]) -> dict[str, Bool[np.ndarray, "language language"]]:
    """Kinds of pairs: English with another language, and two others; a kind that has none is absent."""
    upper = np.triu(np.ones((len(languages),) * 2, dtype=bool), k=1)
    pivot = np.array([code == PIVOT for code in languages])
    with_pivot = upper & (pivot[:, None] | pivot[None])
    kinds = {"en-x": with_pivot, "x-y": upper & ~with_pivot}
    return {name: selected for name, selected in kinds.items() if selected.any()}


@dataclass(frozen=True, eq=False, repr=False)
class AlignmentResult(LayerResult):
    """Which facts find their own translation, and how alike the languages' clouds are, at every layer.

    Attributes:
        languages: Codes, in the order of the language axes.
        fact_ids: In the order of the fact axes.
        groups: Cluster of each fact.
        layers: Number of each layer; -1 for what enters layer 0.
        retrieved: Whether the query language's vector is nearer to its own translation than to any other fact
            (`probes.alignment.retrieved`); treatment 0 is raw, 1 has each language's mean taken off.
        cka: Linear CKA of every pair.
        cka_parts: Its mean over the pairs of a kind, in the order of `pairs`, by fact
            (`probes.cka.cka_of_all`).
        cka_shuffled: Linear CKA when the second language's facts are in another order: the mean over all
            orders (of results before calibration, one order).
        provenance: Where it comes from.
        calibrated_parts: As ``cka_parts``, of CKA counted from that level (`probes.cka.calibrated_cka`); None
            in results from before.
    """

    languages: Languages
    fact_ids: FactIds
    groups: PerFact
    layers: Annotated[tuple[int, ...], Along("layer"), Numbers(-1)]
    retrieved: Bool[np.ndarray, "treatment layer fact query target"]
    cka: Float[np.ndarray, "layer language language"]
    cka_parts: Float[np.ndarray, "kind layer fact"]
    cka_shuffled: Float[np.ndarray, "layer language language"]
    provenance: Provenance
    calibrated_parts: Float[np.ndarray, "kind layer fact"] | None = None

    headlines: ClassVar[Mapping[str, str]] = {
        "mutual centered en-x, mean over layers": (
            "the alignment of English with other languages (mutual nearest neighbors, centered)"
        ),
        "CKA en-x, mean over layers": "the similarity of English to other languages (CKA)",
    }
    kind: ClassVar[str] = "alignment"
    lengths: ClassVar[Lengths] = {
        "treatment": lambda n: 2,
        "query": lambda n: n["language"],
        "target": lambda n: n["language"],
    }
    shortest: ClassVar[Mapping[str, int]] = {"language": 2}
    treatments: ClassVar[tuple[str, str]] = ("raw", "centered")

    def flaws(self) -> Iterator[tuple[str, str]]:
        """Kinds of pairs that there are not."""
        if len(self.cka_parts) != len(self.pairs):
            yield f"'cka_parts' has {len(self.cka_parts)} kinds of pairs", f"{len(self.pairs)}"

    @property
    def mutual(self) -> Bool[np.ndarray, "treatment layer fact language language"]:
        """Whether a pair finds each other both ways: MEXA's count."""
        return self.retrieved & self.retrieved.swapaxes(-1, -2)

    @cached_property
    def pairs(self) -> dict[str, Bool[np.ndarray, "language language"]]:
        """See `kinds_of_pairs`."""
        return kinds_of_pairs(self.languages)

    def retrieval(self, treatment: str = "raw") -> Float[np.ndarray, "layer query target"]:
        """Share of facts whose query language finds its own translation; NaN of a language with itself."""
        share = self.retrieved[self.treatments.index(treatment)].mean(axis=1)
        return np.where(np.eye(len(self.languages), dtype=bool), np.nan, share)

    def mexa(self, treatment: str = "raw") -> Float[np.ndarray, "layer language language"]:
        """Share of facts that find each other, of every pair; MEXA is the row of the pivot language, raw."""
        return self.mutual[self.treatments.index(treatment)].mean(axis=1)

    def curves(self) -> dict[str, Float[np.ndarray, "layer fact"]]:
        """Mutual retrieval, raw and centered, and CKA, plain and calibrated: with English, and of others."""
        curves = {
            f"mutual {treatment} {kind}": self.mutual[index][:, :, selected].mean(axis=-1)
            for index, treatment in enumerate(self.treatments)
            for kind, selected in self.pairs.items()
        }
        parts = {"CKA": self.cka_parts, "CKA calibrated": self.calibrated_parts}
        return curves | {
            f"{name} {kind}": values[number]
            for name, values in parts.items()
            if values is not None
            for number, kind in enumerate(self.pairs)
        }

    def mexa_by_language(self, treatment: str = "raw") -> pd.DataFrame:
        """MEXA of each language with English: mean over layers, and ``best``; empty without English."""
        import pandas as pd

        columns = ["language", "mean", "best"]
        if PIVOT not in self.languages:
            return pd.DataFrame(columns=columns)
        pivot, scores = self.languages.index(PIVOT), self.mexa(treatment)
        rows = [
            (code, float(scores[:, pivot, i].mean()), float(scores[:, pivot, i].max()))
            for i, code in enumerate(self.languages)
            if i != pivot
        ]
        return pd.DataFrame(rows, columns=columns)

    def shuffled(self, kind: str) -> Float[np.ndarray, " layer"]:
        """CKA of the pairs of a kind when the facts of one language are in another order: by chance."""
        return self.cka_shuffled[:, self.pairs[kind]].mean(axis=1)

    @property
    def calibrated(self) -> Float[np.ndarray, "layer language language"]:
        """CKA of every pair counted from its level of chance: 1 if alike, 0 on average by chance."""
        return ratio(self.cka - self.cka_shuffled, 1 - self.cka_shuffled)

    def to_frame(self) -> pd.DataFrame:
        """One row per layer and pair: retrieval each way and mutual, raw and centered, and CKA.

        CKA stands beside that of shuffled facts, and calibrated.
        """
        import pandas as pd

        first, second = np.triu_indices(len(self.languages), k=1)
        frames = []
        for index, layer in enumerate(self.layers):
            columns: dict[str, Any] = {
                "layer": layer_name(layer),
                "a": np.array(self.languages)[first],
                "b": np.array(self.languages)[second],
            }
            for number, treatment in enumerate(self.treatments):
                share = self.retrieved[number, index].mean(axis=0)
                columns[f"a_to_b_{treatment}"] = share[first, second]
                columns[f"b_to_a_{treatment}"] = share[second, first]
                columns[f"mutual_{treatment}"] = self.mexa(treatment)[index, first, second]
            columns["cka"] = self.cka[index, first, second]
            columns["cka_shuffled"] = self.cka_shuffled[index, first, second]
            columns["cka_calibrated"] = self.calibrated[index, first, second]
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)

    def zero(self, quantity: str) -> float | None:
        """Retrieval by chance; none of the plain CKA, whose level of chance is not the same in both texts."""
        if quantity.startswith("CKA"):
            return 0.0 if quantity.startswith("CKA calibrated") else None
        return 1 / len(self.fact_ids)

    def is_share(self, quantity: str) -> bool:
        """Retrieval is; the values of CKA by fact are not."""
        return quantity.startswith("mutual")

    def diagnostics(self) -> list[str]:
        """What makes the result doubtful: translations do not find each other, or are few."""
        chance, diagnostics = 1 / len(self.fact_ids), super().diagnostics()
        mutual = [layer for name, curve in self.curves().items() if self.is_share(name) for layer in curve]
        found = clustered_share(np.stack(mutual, axis=1), self.groups, null=chance)
        if not ((found.estimate > chance) & (holm(found.p) < ALPHA)).any():
            smallest = found.mde(alpha=ALPHA / len(mutual))[found.estimate.argmax()]
            diagnostics.append(
                f"Translations find each other at no layer more often than by chance ({chance:.4f}), at "
                "most in "
                f"{found.estimate.max():.4f} (p by Holm over {len(mutual)} curves and layers; "
                f"{smallest:.4f} more would have "
                "been found in 80 %). Are these prompts translations of each other?"
            )
        if len(self.fact_ids) < _FEW_FACTS:
            diagnostics.append(Note(f"Few prompts: {len(self.fact_ids)}; retrieval among few is easy."))
        return diagnostics

    def __repr__(self) -> str:
        lines = [
            f"AlignmentResult of {self.provenance.checkpoint or 'a model'} on "
            f"{self.provenance.prompts or 'prompts'}: {len(self.fact_ids)} facts, {len(self.languages)} "
            f"languages, {len(self.layers)} layers"
        ]
        table = self.summary().set_index("quantity")
        for name in table.index[table.index.str.endswith("mean over layers")]:
            row = table.loc[name]
            lines.append(f"  {name}: {row['mean']:.3f} {interval_text(row.low, row.high, '.3f')} 95 %")
        return "\n".join(lines)
