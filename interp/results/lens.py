"""What every layer would answer, in every language: probabilities, ranks, entropy and energy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.errors import MeasurementError
from interp.results.base import FactResult, Note, Provenance
from interp.results.fields import Along, FactIds, Languages, Lengths, Numbers, PerFact
from interp.results.separable import require_separable
from interp.stats import clustered_mean, interval_text, known_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LensResult"]

QUANTITIES = ("takeover layer", "pivot area", "pivot lead", "answer at output", "pivot mass")
"""What is compared between checkpoints, see `LensResult.quantities`."""

_FEW = 30  # facts below which a curve of a language is not worth looking at
_UNSPOKEN = 0.01
_ROUNDING = 1e-3  # of sums in half precision
_ROUNDED_ONE = 1 + _ROUNDING


@dataclass(frozen=True, eq=False, repr=False)
class LensResult(FactResult):
    """The answer's tokens in each language at each layer, read at one position of prompts in each language.

    The first place of the layer axes is what enters layer 0 (the embedding, number -1), the next what leaves
    layer 0, and so on; the last is the model's own output. An item counts for a prompt language only where
    its answers there and in the pivot begin with different tokens; the others are left out of everything but
    ``mass``, and counted by `left_out`.

    Attributes:
        languages: Codes, in the order of both language axes.
        fact_ids: In the order of the fact axis.
        groups: Cluster of each fact.
        overlap: Pairs of languages that a fact's answers do not tell apart.
        clean: Whether the prompt ends where a token ends, with its answer behind it.
        probability: Of the answer's first tokens, by language of the prompt and language of the answer; 0 to
            1.
        rank: Place of the most probable of them in the whole vocabulary, from 1.
        mass: Probability of all tokens that begin a name of the concept lexicon in a language and in no other
            of ``languages``, by language of the prompt and of the lexicon; NaN where there is no such token.
            It says in which language a layer speaks whatever the answer. Languages have more and fewer such
            tokens, so compare layers or checkpoints by it, not languages.
        mass_tokens: Number of those tokens per language.
        entropy: Of the next token, in nats; 0 to log(vocabulary).
        energy: Token energy, see `interp.measure.lens.lens.token_energy`.
        provenance: Where it comes from; its settings name the pivot.
    """

    languages: Languages
    fact_ids: FactIds
    groups: PerFact
    overlap: Bool[np.ndarray, "fact language language"]
    clean: Bool[np.ndarray, "fact language"]
    probability: Annotated[Float[np.ndarray, "fact language layer answer"], Numbers(0, _ROUNDED_ONE)]
    rank: Annotated[Int[np.ndarray, "fact language layer answer"], Numbers(1)]
    mass: Annotated[Float[np.ndarray, "fact language layer answer"], Numbers(0, _ROUNDED_ONE, missing=True)]
    mass_tokens: Annotated[tuple[int, ...], Along("language"), Numbers(0)]
    entropy: Annotated[Float[np.ndarray, "fact language layer"], Numbers(-_ROUNDING)]
    energy: Float[np.ndarray, "fact language layer"]
    provenance: Provenance

    headlines: ClassVar[Mapping[str, str]] = {
        "pivot lead": "the lead of the pivot language in the middle layers (logit lens)",
        "takeover layer": "the layer at which the prompt's language takes over (logit lens)",
    }
    kind: ClassVar[str] = "lens"
    places: ClassVar[tuple[str, ...]] = ("takeover layer",)
    lengths: ClassVar[Lengths] = {"answer": lambda n: n["language"]}
    shortest: ClassVar[Mapping[str, int]] = {"language": 2, "layer": 2}

    def flaws(self) -> Iterator[tuple[str, str]]:
        """A pivot that no language is told apart from; mass without tokens, or none with them."""
        if "pivot" not in self.provenance.settings:
            yield "no pivot in its settings", "one of its languages"
        try:
            require_separable(self.overlap, self.clean, self.languages, self.pivot)
        except MeasurementError as error:
            yield str(error).rstrip("."), "a pivot that languages are told apart from"
        if (np.isnan(self.mass) != (np.array(self.mass_tokens) == 0)).any():
            yield "'mass' is NaN where a language has tokens, or a number where it has none", "the reverse"

    @property
    def pivot(self) -> str:
        """The language that others are compared with."""
        return str(self.provenance.settings["pivot"])

    @property
    def n_layers(self) -> int:
        """Points of a curve: the model's layers, and what enters the first."""
        return self.probability.shape[2]

    @property
    def layers(self) -> tuple[int, ...]:
        """Number of each place of the layer axes; -1 for what enters layer 0."""
        return tuple(range(-1, self.n_layers - 1))

    def with_pivot(self, pivot: str) -> LensResult:
        """The same measurement compared with another language; no model is needed.

        Raises:
            MeasurementError: The language is not in the result, or some language is not told apart from it.
        """
        require_separable(self.overlap, self.clean, self.languages, pivot)
        settings = {**self.provenance.settings, "pivot": pivot}
        return replace(self, provenance=replace(self.provenance, settings=settings))

    def counted(self, language: str, answer: str | None = None) -> Bool[np.ndarray, " fact"]:
        """Facts that count for a language's prompts; of a third language's answer, where separable."""
        own, pivot = self._index(language), self._index(self.pivot)
        here = self.clean[:, own] & ~self.overlap[:, own, own] & ~self.overlap[:, own, pivot]
        if answer not in (None, language, self.pivot):
            third = self._index(str(answer))
            here &= ~self.overlap[:, third, own] & ~self.overlap[:, third, pivot]
        return here

    def left_out(self) -> dict[str, int]:
        """Facts that do not count, per language of the prompt."""
        return {code: int((~self.counted(code)).sum()) for code in self.languages}

    def curve(self, language: str, answer: str) -> Float[np.ndarray, "counted layer"]:
        """Probability of an answer's first tokens at each layer, for the facts that count; see `counted`."""
        return self.probability[self.counted(language, answer), self._index(language), :, self._index(answer)]

    def mass_curve(self, language: str, lexicon: str) -> Float[np.ndarray, "clean layer"]:
        """Probability of a lexicon at each layer, for facts whose prompt ends where a token ends."""
        own = self._index(language)
        return self.mass[self.clean[:, own], own, :, self._index(lexicon)]

    def takeover(self, language: str) -> Float[np.ndarray, " fact"]:
        """Return the first layer from which on the prompt's language is above the pivot, up to the output.

        -1 where it is so from what enters layer 0 on; the number of layers where it is not above at the
        output either; NaN for a fact that does not count.
        """
        ahead = self.curve(language, language) > self.curve(language, self.pivot)
        run = np.logical_and.accumulate(ahead[:, ::-1], axis=1).sum(axis=1)
        return _spread(self.counted(language), self.n_layers - 1 - run)

    def quantities(self) -> dict[str, Float[np.ndarray, " fact"]]:
        """What checkpoints are compared by; over all other languages than the pivot, then for each of them.

        ``takeover layer``: see `takeover`. ``pivot area``: area under the pivot's curve over relative depth
        (0 to 1), that is, its mean probability. ``pivot lead``: area of what the pivot is above the prompt's
        language by; 0 if it never is. ``answer at output``: probability of the answer's first tokens in the
        prompt's language at the last layer. ``pivot mass``: area under the curve of the pivot's lexicon, see
        ``mass``.
        """
        others = [code for code in self.languages if code != self.pivot]
        each = {code: self._compared(code) for code in others}
        per_fact = {}
        for name in each[others[0]]:
            columns = np.stack([each[code][name] for code in others])
            per_fact[name] = known_mean(columns, axis=0)
        if len(others) > 1:
            for code in others:
                per_fact |= {f"{name} {code}": values for name, values in each[code].items()}
        return per_fact

    def _compared(self, code: str) -> dict[str, Float[np.ndarray, " fact"]]:
        own, pivot = self.curve(code, code).astype(float), self.curve(code, self.pivot).astype(float)
        step = 1 / (self.n_layers - 1)
        values = {
            "pivot area": np.trapezoid(pivot, dx=step, axis=1),
            "pivot lead": np.trapezoid(np.maximum(pivot - own, 0), dx=step, axis=1),
            "answer at output": own[:, -1],
        }
        per_fact = {"takeover layer": self.takeover(code)}
        per_fact |= {name: _spread(self.counted(code), value) for name, value in values.items()}
        mass = np.trapezoid(self.mass_curve(code, self.pivot).astype(float), dx=step, axis=1)
        return per_fact | {"pivot mass": _spread(self.clean[:, self._index(code)], mass)}

    def curves(
        self, of: str = "probability", *, answers: str = "compared", prompts: Sequence[str] = ()
    ) -> pd.DataFrame:
        """One row per language of the prompt, language of the answer and layer.

        ``n`` facts that count in ``n_clusters``, the mean ``value`` with its 95 % interval ``low`` to
        ``high`` over clusters, and the median ``rank`` of the answer (NaN of a lexicon). A language without
        any such fact, or without a lexicon's token, has no rows.

        Args:
            of: ``probability`` of the answer, or ``mass`` of a language's lexicon.
            answers: ``compared`` for the prompt's own language and the pivot, ``all`` for every language.
            prompts: Languages of prompts; all by default.
        """
        import pandas as pd

        tables = []
        for code in prompts or self.languages:
            shown = self.languages if answers == "all" else tuple(dict.fromkeys((code, self.pivot)))
            for answer in shown:
                if of == "mass":
                    here, curve = self.clean[:, self._index(code)], self.mass_curve(code, answer)
                else:
                    here, curve = self.counted(code, answer), self.curve(code, answer)
                if not len(curve) or np.isnan(curve).any():
                    continue
                groups = [group for group, counts in zip(self.groups, here, strict=True) if counts]
                ranks = self.rank[here, self._index(code), :, self._index(answer)]
                interval = clustered_mean(curve, groups).columns("value")
                rank = np.median(ranks, axis=0) if of == "probability" else float("nan")
                where = {"prompt": code, "answer": answer, "layer": self.layers}
                tables.append(pd.DataFrame({**where, **interval, "rank": rank}))
        numbers = {"layer": int, "n": int, "n_clusters": int} | dict.fromkeys(
            ("value", "low", "high", "rank"), float
        )
        empty = pd.DataFrame(columns=["prompt", "answer", *numbers])
        return (pd.concat(tables, ignore_index=True) if tables else empty).astype(numbers)

    def to_frame(self, *, bits: bool = False) -> pd.DataFrame:
        """One row per language of the prompt and layer: ``n`` facts that count, ``n_clusters``, and means.

        ``entropy`` is in nats, or in bits if asked; ``answer_xx`` is the probability of the answer in each
        language, over the facts that tell it apart (NaN if none does), and ``mass_xx`` that of its lexicon,
        over all facts with a clean prompt.
        """
        import pandas as pd

        rows, entropy = [], self.mean_entropy()
        for code in self.languages:
            here, own = self.counted(code), self._index(code)
            spread = entropy[own] / (np.log(2) if bits else 1)
            energy = self.energy[here, own].mean(axis=0)
            means = {f"answer_{a}": _mean(self.curve(code, a), self.n_layers) for a in self.languages}
            means |= {f"mass_{a}": _mean(self.mass_curve(code, a), self.n_layers) for a in self.languages}
            counts = {"n": int(here.sum()), "n_clusters": self.clusters_in(here)}
            for place, layer in enumerate(self.layers):
                row = {"prompt": code, "layer": layer, **counts}
                row |= {"entropy": float(spread[place]), "energy": float(energy[place])}
                rows.append(row | {name: float(curve[place]) for name, curve in means.items()})
        return pd.DataFrame(rows)

    def by_language(self) -> pd.DataFrame:
        """One row per language of the prompt but the pivot, and ``all``: quantities with their intervals.

        ``n`` facts that count, ``n_clusters`` and ``left_out``; then each name of `QUANTITIES` with ``<name>
        low`` and ``<name> high``.
        """
        import pandas as pd

        table, left = self.summary().set_index("quantity"), self.left_out()
        others = [code for code in self.languages if code != self.pivot]
        rows = []
        for code in [*others, *(["all"] if len(others) > 1 else [])]:
            suffix = f" {code}" if len(others) > 1 and code != "all" else ""
            n = int(table.n[QUANTITIES[0]]) if code == "all" else len(self.fact_ids) - left[code]
            row = {"language": code, "n": n, "n_clusters": int(table.n_clusters[f"{QUANTITIES[0]}{suffix}"])}
            row |= {"left_out": np.nan if code == "all" else left[code]}
            for name in QUANTITIES:
                interval = table.loc[f"{name}{suffix}"]
                row |= {name: interval["mean"], f"{name} low": interval.low, f"{name} high": interval.high}
            rows.append(row)
        return pd.DataFrame(rows)

    def mean_entropy(self) -> Float[np.ndarray, "language layer"]:
        """Mean over the facts that count, in nats."""
        return np.stack(
            [self.entropy[self.counted(code), i].mean(axis=0) for i, code in enumerate(self.languages)]
        )

    def diagnostics(self) -> list[str]:
        """Languages with few facts that count, and whether the model says the answer in any language."""
        notes = super().diagnostics()
        counts = {code: self.counted(code).sum() for code in self.languages}
        few = ", ".join(f"{code} {n}" for code, n in counts.items() if n < _FEW)
        if few:
            notes.append(Note(f"Fewer than {_FEW} facts tell these languages from the pivot: {few}."))
        spoken = max(float(self.curve(code, code)[:, -1].mean()) for code in self.languages)
        if spoken < _UNSPOKEN:
            notes.append(
                f"At the output the answer has a probability below {_UNSPOKEN} in every language, at most "
                f"{spoken:.4f}. Are these prompts that the model can continue?"
            )
        return notes

    def _index(self, language: str) -> int:
        if language not in self.languages:
            raise MeasurementError(
                f"The result has no language '{language}'; it has {' '.join(self.languages)}."
            )
        return self.languages.index(language)

    def __repr__(self) -> str:
        rows = self.summary().set_index("quantity").head(5)
        left = self.left_out()
        return "\n".join(
            [
                f"LensResult of {self.provenance.checkpoint or 'a model'} on "
                f"{self.provenance.prompts or 'prompts'}: {len(self.fact_ids)} facts in "
                f"{len(self.languages)} languages, {self.n_layers - 1} layers, pivot {self.pivot}",
                *(
                    f"  {name:17} {row['mean']:.3f}  {interval_text(row.low, row.high, '.3f')} 95 %, "
                    f"{row.n:.0f} facts"
                    for name, row in rows.iterrows()
                ),
                f"  left out          {' '.join(f'{code} {n}' for code, n in left.items())}",
            ]
        )


def _spread(here: Bool[np.ndarray, " fact"], values: np.ndarray) -> Float[np.ndarray, " fact"]:
    spread = np.full(len(here), np.nan)
    spread[here] = values
    return spread


def _mean(curve: Float[np.ndarray, "row layer"], n_layers: int) -> Float[np.ndarray, " layer"]:
    return curve.mean(axis=0) if len(curve) else np.full(n_layers, np.nan)
