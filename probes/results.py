"""What probing keeps, and how its scores are defined (numpy only)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from interp.results.base import Note, Provenance
from interp.results.fields import Along, FactIds, Languages, Lengths, Numbers, OneOf, PerFact
from interp.stats import ALPHA, Estimate, clustered_mean, half_width, interval_text, known_mean
from probes.layers import LayerResult, layer_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ProbeResult"]

_FEW_FACTS = 100
_ROUNDING = 1e-6
_CLEARLY = 1.5  # half intervals: they are somewhat narrow
_TASKS = {
    "language": "the prompt's language",
    "answer": "the right answer among its relation's",
    "right": "whether the model will be right",
}


@dataclass(frozen=True, eq=False, repr=False)
class ProbeResult(LayerResult):
    """Which held-out guesses of linear probes were right, at every layer, beside those of a control task.

    All scores are balanced accuracies B: the mean over classes of the share a_y of class y that was guessed
    right, so that a guess that ignores the layers scores 1 / number of classes whatever the classes' shares.
    A fact of class y, guessed right (c = 1) or wrong (0), has the value B + n / (K n_y) (c - a_y), with K
    classes among the n facts of its stratum and n_y of them in y: B and the fact's influence on it. The mean
    of these values is B, and a guess that ignores the layers has the same value for all, whichever facts are
    drawn. One probe of all languages has every fact once in every class: there c itself does all this, and
    its mean in a language is the share recognized.

    Intervals are over clusters of facts, with the probes as they are. They do not hold what another training
    set or another dealing into folds would change, so they are somewhat narrow: of labels that mean nothing,
    about one in eight 95 % intervals misses chance (tests/probes/test_null.py), and the score of one draw of
    control labels is as uncertain.

    Attributes:
        languages: Codes, in the order of the language axes.
        fact_ids: In the order of the fact axes.
        groups: Cluster of each fact; no group is in two folds.
        strata: Facts of one stratum share a probe.
        task: language, answer or right.
        classes: Names of the labels.
        layers: Number of each layer; -1 for what enters layer 0.
        trained_on: Languages that a probe was trained on; ``all`` for one probe of all.
        offsets: ``raw``: the probe takes off the mean of its own language. ``centered``: of the tested one.
        labels: Right label of each fact in each language; -1 where not asked.
        control_labels: Of the control task.
        folds: Fold in which a fact is held out; -1 where not asked.
        correct: 1 right, 0 wrong, -1 not asked.
        control: The same for probes trained and tested on the control labels.
        left_out: What was not asked, in words.
        provenance: Where it comes from.
    """

    languages: Languages
    fact_ids: FactIds
    groups: PerFact
    strata: PerFact
    task: Annotated[str, OneOf(tuple(_TASKS))]
    classes: Annotated[tuple[str, ...], Along("class", unique=True)]
    layers: Annotated[tuple[int, ...], Along("layer"), Numbers(-1)]
    trained_on: Annotated[tuple[str, ...], Along("train", unique=True)]
    offsets: Annotated[tuple[str, ...], Along("offset", unique=True), OneOf(("raw", "centered"))]
    labels: Annotated[Int[np.ndarray, "fact language"], Numbers(-1, below="class")]
    control_labels: Annotated[Int[np.ndarray, "fact language"], Numbers(-1, below="class")]
    folds: Annotated[Int[np.ndarray, " fact"], Numbers(-1)]
    correct: Annotated[Int8[np.ndarray, "offset layer train test fact"], Numbers(-1, 1)]
    control: Annotated[Int8[np.ndarray, "offset layer train test fact"], Numbers(-1, 1)]
    left_out: tuple[str, ...]
    provenance: Provenance

    headlines: ClassVar[Mapping[str, str]] = {
        "transfer centered, mean over layers": "the transfer of probes between languages (centered)",
        "selectivity, mean over layers": "the selectivity of probes",
    }
    kind: ClassVar[str] = "probe"
    lengths: ClassVar[Lengths] = {"test": lambda n: n["language"]}
    uncompared: ClassVar[tuple[str, ...]] = ("control",)
    pooled: ClassVar[tuple[str, ...]] = ("selectivity",)

    @cached_property
    def earned(self) -> Float[np.ndarray, "offset layer train test fact"]:
        """Each fact's value: their mean is the balanced accuracy. NaN where not asked."""
        return self._values(self.correct, self.labels)

    @cached_property
    def earned_by_control(self) -> Float[np.ndarray, "offset layer train test fact"]:
        """The same for the control task."""
        return self._values(self.control, self.control_labels)

    @cached_property
    def chance(self) -> float:
        """Balanced accuracy of a guess: the mean over what is asked of 1 / number of classes."""
        sizes = [(pool.sum(), len(np.unique(self.labels[pool]))) for pool in self._pools(self.labels)]
        return float(sum(n / classes for n, classes in sizes) / sum(n for n, _ in sizes))

    def within(
        self, earned: Float[np.ndarray, "offset layer train test fact"]
    ) -> Float[np.ndarray, "layer fact"]:
        """Each fact's mean over languages, in the language that the probe was trained on."""
        own = earned[0, :, 0] if self.joint else np.einsum("laaf->laf", earned[0])
        return known_mean(own, axis=1)

    def across(
        self, earned: Float[np.ndarray, "offset layer train test fact"], offset: str
    ) -> Float[np.ndarray, "layer fact"]:
        """Each fact's mean over pairs of different languages: trained on one, tested on the other."""
        chosen = earned[self.offsets.index(offset)]
        other = ~np.eye(len(self.languages), dtype=bool)
        return known_mean(chosen[:, other], axis=1)

    @property
    def task_name(self) -> str:
        """What is to be read, in words."""
        return _TASKS[self.task]

    @property
    def joint(self) -> bool:
        """Whether one probe reads all languages."""
        return self.trained_on == ("all",)

    def curves(self) -> dict[str, Float[np.ndarray, "layer fact"]]:
        """Balanced accuracy within languages, of the control, their difference, and across languages.

        Two results pair fact by fact also where their labels differ (``right``): a fact's value is its
        influence on the score of its own class.
        """
        own, control = self.within(self.earned), self.within(self.earned_by_control)
        curves = {"accuracy": own, "control": control, "selectivity": own - control}
        for offset in () if self.joint or len(self.languages) < 2 else self.offsets:
            curves[f"transfer {offset}"] = self.across(self.earned, offset)
        return curves

    def zero(self, quantity: str) -> float | None:
        """Chance, but of the difference from control labels."""
        return 0.0 if quantity.startswith("selectivity") else self.chance

    def in_common(self, other: Self) -> tuple[Self, Self]:
        """Both results in the languages of both: which these are, may depend on what a checkpoint answers."""
        both = np.asarray((self.labels >= 0).any(axis=0) & (other.labels >= 0).any(axis=0))
        return self._only(both), other._only(both)

    def _only(self, languages: np.ndarray) -> Self:
        made: Any = self
        changed = {
            name: getattr(self, name).copy() for name in ("labels", "control_labels", "correct", "control")
        }
        for name in ("labels", "control_labels"):
            changed[name][:, ~languages] = -1
        for name in ("correct", "control"):
            changed[name][:, :, :, ~languages] = -1
            if not self.joint:
                changed[name][:, :, ~languages] = -1
        return replace(made, **changed)

    def matrix(self, offset: str = "raw") -> Float[np.ndarray, "layer train test"]:
        """Balanced accuracy of every pair of languages; NaN where not asked."""
        return known_mean(self.earned[self.offsets.index(offset)], axis=-1)

    def best_layer(self) -> int:
        """Place of the layer that is read best within a language."""
        return int(np.nanargmax(known_mean(self.within(self.earned), axis=-1)))

    def by_language(self, layer: int) -> pd.DataFrame:
        """One row per language, at a place among the layers: balanced accuracy within it, and with others.

        Per offset, the means over other languages ``from`` it (trained on it) and ``into`` it (tested in it).
        NaN where not asked.
        """
        import pandas as pd

        matrix = {offset: self.matrix(offset)[layer] for offset in self.offsets}
        table = {"language": self.languages, "within": np.diagonal(matrix["raw"])}
        own = np.eye(len(self.languages), dtype=bool)
        for offset, values in matrix.items():
            others = np.where(own, np.nan, values)
            table[f"from ({offset})"] = known_mean(others, axis=1)
            table[f"into ({offset})"] = known_mean(others, axis=0)
        return pd.DataFrame(table)

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, offset, training and test language: facts, accuracy, control, chance."""
        import pandas as pd

        offset, layer, train, test = np.indices(self.correct.shape[:4]).reshape(4, -1)
        labeled = (self.correct >= 0).reshape(-1, len(self.fact_ids))
        return pd.DataFrame(
            {
                "task": self.task,
                "layer": [layer_name(self.layers[i]) for i in layer],
                "offset": np.array(self.offsets)[offset],
                "trained_on": np.array(self.trained_on)[train],
                "tested_on": np.array(self.languages)[test],
                "n": labeled.sum(axis=-1),
                "n_clusters": [self.clusters_in(facts) for facts in labeled],
                "balanced_accuracy": known_mean(self.earned, axis=-1).ravel(),
                "control": known_mean(self.earned_by_control, axis=-1).ravel(),
                "chance": self.chance,
            }
        )

    def diagnostics(self) -> list[str]:
        """What makes the result doubtful: nothing is read, or controls are; few facts; unconverged fits."""
        table = self.summary(every=True).set_index("quantity")
        layers = [f"accuracy layer {layer_name(layer)}" for layer in self.layers]
        diagnostics = self.few_clusters(self.folds >= 0)
        own = clustered_mean(self.within(self.earned).T, self.groups)
        if not self._clearly_above_chance(own).any():
            smallest = _CLEARLY * np.nan_to_num(own.mde(alpha=ALPHA / len(layers)), nan=np.inf).min()
            power = f"; {smallest:.3f} more than chance would have been found in 80 %" if smallest < 1 else ""
            diagnostics.append(
                f"Nothing is read: balanced accuracy is not clearly above chance ({self.chance:.3f}) at any "
                "layer, at most "
                f"{table['mean'][layers].max():.3f} (corrected over {len(layers)} layers{power})."
            )
        control = "control, mean over layers"
        of_control = clustered_mean(
            known_mean(self.within(self.earned_by_control), axis=0)[:, None], self.groups
        )
        if self.task != "right" and self._clearly_above_chance(of_control)[0]:
            diagnostics.append(
                f"The control labels, which mean nothing, are read at {table['mean'][control]:.3f} (chance "
                f"{self.chance:.3f}): held-out facts are known from training. Do groups hold all facts that "
                "are alike?"
            )
        labeled = int((self.folds >= 0).sum())
        if labeled < _FEW_FACTS:
            diagnostics.append(Note(f"Few facts: {labeled}."))
        if failed := self.provenance.run.get("unconverged_fits"):
            diagnostics.append(f"{failed} fits did not converge; raise --l2.")
        return diagnostics

    def _clearly_above_chance(self, found: Estimate) -> Bool[np.ndarray, " cell"]:
        """Whether each mean is above chance by more than its interval, widened and corrected over all."""
        half = half_width(found.standard_error, found.df, 1 - ALPHA / len(found.estimate))
        below = found.estimate - _CLEARLY * np.where(found.standard_error > 0, half, 0)
        return np.asarray(below > self.chance + _ROUNDING)

    def _pools(self, labels: Int[np.ndarray, "fact language"]) -> Iterator[Bool[np.ndarray, "fact language"]]:
        """What is balanced together: a stratum in each language, or in all together for one joint probe."""
        strata, every = np.array(self.strata), np.arange(labels.shape[1])
        for stratum in sorted(set(self.strata)):
            inside = (strata == stratum)[:, None] & (labels >= 0)
            for columns in [every] if self.joint else every[:, None]:
                pool = inside & np.isin(every, columns)
                if pool.any():
                    yield pool

    def _values(
        self,
        correct: Int8[np.ndarray, "offset layer train test fact"],
        labels: Int[np.ndarray, "fact language"],
    ) -> Float[np.ndarray, "offset layer train test fact"]:
        values = np.full(correct.shape, np.nan, dtype=np.float32)
        for pool in self._pools(labels):
            _, which, count = np.unique(labels.T[pool.T], return_inverse=True, return_counts=True)
            right = correct[..., pool.T].astype(np.float64)
            weight = len(which) / (len(count) * count)
            effect = right * weight[which]
            if not self.joint:
                share = right @ np.eye(len(count))[which] / count
                effect += (share.mean(axis=-1, keepdims=True) - weight * share)[..., which]
            values[..., pool.T] = np.where(right < 0, np.nan, effect)
        return values

    def __repr__(self) -> str:
        own, control = (known_mean(self.within(e), axis=-1) for e in (self.earned, self.earned_by_control))
        best = self.best_layer()
        table = self.summary().set_index("quantity")
        low, high = table.loc[f"accuracy layer {layer_name(self.layers[best])}", ["low", "high"]]
        labeled = int((self.folds >= 0).sum())
        lines = [
            f"ProbeResult of {self.provenance.checkpoint or 'a model'}: {self.task}, {labeled} facts, "
            f"{len(self.languages)} languages, {len(self.layers)} layers",
            f"  best at layer {layer_name(self.layers[best])}: balanced accuracy {own[best]:.3f} "
            f"{interval_text(low, high, '.3f')} 95 %, "
            f"control {control[best]:.3f}, chance {self.chance:.3f}",
        ]
        return "\n".join(lines + [f"  left out: {text}" for text in self.left_out])
