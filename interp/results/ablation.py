"""What removing one language's units does to each language: a matrix, beside random units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from interp.errors import ResultError, nearest
from interp.results.base import FactResult, Provenance
from interp.results.consistency import credit, flaws_of_options
from interp.results.fields import FactIds, Languages, Lengths, Numbers, OneOf, PerFact
from interp.stats import diagonal_p, interval_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HARMS", "AblationResult", "Dominance", "own_above_other"]

HARMS = ("loss", "accuracy")
"""What is lost: nats per token of question and answer, or the share of facts answered rightly."""

_MUCH = 0.5  # of a language's units


@dataclass(frozen=True)
class Dominance:
    """Whether a language's own units harm it more than other languages' units do.

    Attributes:
        value: Mean of the diagonal minus mean of the rest, of the harm beyond random units.
        low: Lower end of its 95 % interval over clusters of facts.
        high: Upper end.
        p: Of the languages' labels being exchangeable, one-sided: see `interp.stats.diagonal_p`.
        least_p: The least p that so many languages can give.
        n_clusters: Clusters of facts that the interval is over.
    """

    value: float
    low: float
    high: float
    p: float
    least_p: float
    n_clusters: int


@dataclass(frozen=True, eq=False, repr=False)
class AblationResult(FactResult):
    """Loss and answers with each language's units removed, with as many random units removed, and intact.

    Every fact is read with units that were selected on the other half of the facts (by group), so that
    nothing on the diagonal is a selection that came out well on its own facts.

    Attributes:
        languages: Codes, in the order of both language axes.
        fact_ids: In the order of the fact axis.
        groups: Cluster of each fact.
        unit: ``neurons`` or ``heads``.
        mode: What a removed unit is set to: ``zero``, or its ``mean`` over languages.
        half: Per fact, its half: its units were selected on the other one.
        removed: The units, as layer * units per layer + unit, for facts of a half; variant 0 are the
            language's most specialized ones, the others random.
        intact_loss: Mean loss of the tokens of question and right answer, nats per token.
        loss: The same with units removed, by variant and the language whose units they are.
        intact_scores: Log-probability of every option; NaN where a fact has fewer.
        scores: The same with units removed.
        bytes: UTF-8 bytes of every option, by which its score is divided.
        gold: Number of the right option.
        provenance: Where it comes from.
    """

    languages: Languages
    fact_ids: FactIds
    groups: PerFact
    unit: Annotated[str, OneOf(("neurons", "heads"))]
    mode: Annotated[str, OneOf(("zero", "mean"))]
    half: Annotated[Int[np.ndarray, " fact"], Numbers(0, below="half")]
    removed: Annotated[Int[np.ndarray, "half variant owner count"], Numbers(0)]
    intact_loss: Float[np.ndarray, "fact language"]
    loss: Float[np.ndarray, "variant owner fact language"]
    intact_scores: Annotated[Float[np.ndarray, "fact language option"], Numbers(missing=True)]
    scores: Annotated[Float[np.ndarray, "variant owner fact language option"], Numbers(missing=True)]
    bytes: Annotated[Int[np.ndarray, "fact language option"], Numbers(0)]
    gold: Annotated[Int[np.ndarray, " fact"], Numbers(0, below="option")]
    provenance: Provenance

    headlines: ClassVar[Mapping[str, str]] = {
        "nats lost: own above other": (
            "what ablating a language's own units costs it more than it costs other languages (nats)"
        ),
    }
    kind: ClassVar[str] = "ablation"
    lengths: ClassVar[Lengths] = {
        "half": lambda n: 2,
        "owner": lambda n: n["language"],
    }
    shortest: ClassVar[Mapping[str, int]] = {"language": 2, "variant": 2}

    def flaws(self) -> Iterator[tuple[str, str]]:
        """Options that one language or variant has and another lacks, or a right answer that is none."""
        yield from flaws_of_options(self.intact_scores, self.gold)
        none = np.isnan(self.intact_scores)
        if (np.isnan(self.scores) != none).any() or ((self.bytes == 0) != none).any():
            yield "'scores' or 'bytes' have other options than 'intact_scores'", "the same"

    @property
    def draws(self) -> int:
        """How many times random units were drawn for each set."""
        return len(self.loss) - 1

    def intact_accuracy(self) -> Float[np.ndarray, "fact language"]:
        """What the intact model's answers earn, by log-probability per byte."""
        return self._credit(self.intact_scores)

    def harms(self, kind: str = "loss") -> Float[np.ndarray, "variant owner fact language"]:
        """What is lost by removing a variant's units; above 0 is harm.

        ``loss``: mean loss minus that of the intact model, nats per token: differences are averaged, never
        perplexities. ``accuracy``: credit of the intact model minus that without the units.

        Raises:
            ResultError: The kind is unknown.
        """
        if kind not in HARMS:
            raise ResultError(f"No harm '{kind}'.{nearest(kind, HARMS)} Choose from: {', '.join(HARMS)}.")
        if kind == "loss":
            return self.loss - self.intact_loss
        variants, owners = self.loss.shape[:2]
        left = np.stack([[self._credit(self.scores[v, o]) for o in range(owners)] for v in range(variants)])
        return self.intact_accuracy() - left

    def beyond_random(self, kind: str = "loss") -> Float[np.ndarray, "owner fact language"]:
        """Harm of a language's units minus the mean harm of as many random units of the same layers."""
        harm = self.harms(kind)
        return harm[0] - harm[1:].mean(axis=0)

    def matrix(self, kind: str = "loss") -> Float[np.ndarray, "owner language"]:
        """Mean over facts of what removing the owner's units costs each language beyond random units."""
        return self.beyond_random(kind).mean(axis=1)

    def shared_units(self) -> float:
        """Share of a language's units that another has too, mean over pairs and halves (0 to 1)."""
        own, n = self.removed[:, 0], len(self.languages)
        pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
        return float(np.mean([np.isin(half[a], half[b]).mean() for half in own for a, b in pairs]))

    def dominance(self, kind: str = "loss", *, seed: int = 0) -> Dominance:
        """Test whether the diagonal of `matrix` dominates.

        Frail languages and harmful sets, whole columns and rows, cancel in the statistic.
        """
        interval = self.estimate(own_above_other(self.beyond_random(kind)))
        p, least = diagonal_p(self.matrix(kind), seed=seed)
        return Dominance(interval.estimate, interval.low, interval.high, p, least, int(interval.n_clusters))

    def quantities(self) -> dict[str, Float[np.ndarray, " fact"]]:
        """Harm beyond random units to the own language, to others, the difference; and random units' harm."""
        values = {}
        names = {"loss": "nats lost", "accuracy": "accuracy lost"}
        for kind, name in names.items():
            beyond, n = self.beyond_random(kind), len(self.languages)
            own = np.einsum("afa->f", beyond) / n
            apart = own_above_other(beyond)
            values[f"{name}: own language"] = own
            values[f"{name}: other languages"] = own - apart
            values[f"{name}: own above other"] = apart
            values[f"{name}: random units"] = self.harms(kind)[1:].mean(axis=(0, 1, 3))
        return values

    def to_frame(self) -> pd.DataFrame:
        """One row per owner of units and language: harm, random units' harm, and beyond it with intervals.

        Intervals are over clusters of facts, given the random sets that were drawn: of few draws, one that
        happens to hit a unit that a language needs moves a cell by more than they say. Ask for more draws
        where a cell matters.
        """
        import pandas as pd

        owner, language = (index.ravel() for index in np.indices((len(self.languages),) * 2))
        names = {"units_of": np.array(self.languages)[owner], "language": np.array(self.languages)[language]}
        tables = []
        for kind in HARMS:
            harm, beyond = self.harms(kind), self.beyond_random(kind).swapaxes(0, 1)
            interval = self.estimate(beyond.reshape(len(beyond), -1))
            means = {
                "removed": harm[0].mean(axis=1).ravel(),
                "random": harm[1:].mean(axis=(0, 2)).ravel(),
                **interval.columns("beyond_random", counts=False),
                "p": interval.p,
            }
            counts = {"n": interval.n, "n_clusters": interval.n_clusters}
            tables.append(pd.DataFrame({"harm": kind, **names, **counts, **means}))
        return pd.concat(tables, ignore_index=True)

    def dominances(self) -> pd.DataFrame:
        """One row per harm: how far a language's own units harm it more than others', see `dominance`."""
        import pandas as pd

        return pd.DataFrame([{"harm": kind, **vars(self.dominance(kind))} for kind in HARMS])

    def random_harm(self, kind: str = "loss") -> Float[np.ndarray, " language"]:
        """Mean harm of random units, per language."""
        harm: np.ndarray = self.harms(kind)[1:].mean(axis=(0, 1, 2))
        return harm

    def diagnostics(self) -> list[str]:
        """What makes the result doubtful, in words; empty if nothing does."""
        diagnostics = super().diagnostics()
        shared = self.shared_units()
        if shared > _MUCH:
            diagnostics.append(
                f"A language has {shared:.0%} of its {self.unit} in common with another one on average, so "
                "what is removed is hardly its own. Ask for fewer, or for specialized ones."
            )
        chance = float((1 / (self.bytes[:, 0] > 0).sum(axis=1)).mean())
        right = self.intact_accuracy().mean(axis=1)
        known = self.estimate(right, share=True)
        if not known.low > chance:
            diagnostics.append(
                f"The intact model is not above chance ({known.estimate:.3f} of {chance:.3f}; "
                f"{known.mde():.3f} more would have "
                "been found in 80 %), so it has no accuracy to lose."
            )
        return diagnostics

    def __repr__(self) -> str:
        lines = []
        for kind, unit in (("loss", "nats per token"), ("accuracy", "accuracy")):
            d = self.dominance(kind)
            lines.append(
                f"  own language above others: {d.value:+.4f} {unit} {interval_text(d.low, d.high, '+.4f')} "
                "95 %, "
                f"labels exchanged p = {d.p:.3g} (least possible {d.least_p:.2g})"
            )
        count = self.removed.shape[-1]
        head = (
            f"AblationResult of {self.provenance.checkpoint or 'a model'} on "
            f"{self.provenance.prompts or 'facts'}: {count} {self.unit} per language set to {self.mode}, "
            f"{len(self.fact_ids)} facts, {self.draws} random draws"
        )
        return "\n".join([head, *lines])

    def _credit(
        self, scores: Float[np.ndarray, "fact language option"]
    ) -> Float[np.ndarray, "fact language"]:
        return credit(np.where(self.bytes > 0, scores / np.maximum(self.bytes, 1), np.nan), self.gold)


def own_above_other(values: Float[np.ndarray, "owner fact language"]) -> Float[np.ndarray, " fact"]:
    """Mean of the diagonal minus mean of the rest, per fact."""
    n = len(values)
    own = np.einsum("afa->f", values)
    every = values.sum(axis=(0, 2))
    difference: np.ndarray = own / n - (every - own) / (n * (n - 1))
    return difference
