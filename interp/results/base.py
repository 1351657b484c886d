"""What every result has: provenance, a schema, and scores per unit with the uncertainty of blocks of facts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.errors import ResultError
from interp.results.storage import read_archive, write_archive
from interp.stats import Jackknife

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SCHEMA", "Provenance", "UnitResult", "require_schema"]

SCHEMA = 1

Result = TypeVar("Result", bound="UnitResult")


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from; two results combine only if they asked the same questions.

    Attributes:
        checkpoint: What the user called it.
        fingerprint: SHA-256 of weights, configuration and tokenizer.
        prompts: Name of the prompt set.
        prompts_digest: SHA-256 of all prompts.
        settings: The resolved settings that decide the numbers.
        run: Versions, commit, device, dtype, date: what may differ without changing the question.
    """

    checkpoint: str = ""
    fingerprint: str = ""
    prompts: str = ""
    prompts_digest: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Provenance:
        """Return what a file says; what a newer version added to it is left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in saved.items() if k in known})

    def differences(self, other: Provenance, *, ignore: Sequence[str] = ()) -> dict[str, tuple[Any, Any]]:
        """Prompts and settings in which the two questions differ -> (ours, theirs); the checkpoint is no part of it."""
        mine, theirs = self._question(), other._question()
        keys = sorted((mine.keys() | theirs.keys()) - set(ignore))
        return {k: (mine.get(k), theirs.get(k)) for k in keys if mine.get(k) != theirs.get(k)}

    def _question(self) -> dict[str, Any]:
        return {"prompts": self.prompts_digest, **self.settings}


def require_schema(meta: Mapping[str, Any], where: str) -> None:
    """Refuse a file of a newer version.

    Raises:
        ResultError: Its schema number is above ours, or none.
    """
    if not isinstance(meta.get("schema"), int) or meta["schema"] > SCHEMA:
        raise ResultError(
            f"{where} has schema {meta.get('schema')}; this version reads up to {SCHEMA}. Upgrade interp."
        )


@dataclass(frozen=True, eq=False, repr=False)
class UnitResult(ABC):
    """Sufficient statistics of units (neurons or heads) per language and block, and the scores they define.

    Every statistic is an array ``[language, block, ...]``. Blocks are fixed groups of facts, the same in every
    language and checkpoint, and carry all uncertainty.

    Attributes:
        languages: Codes, in the order of the language axis.
        tokens: Counted tokens.
        items: Prompts.
        provenance: Where it comes from.
    """

    languages: tuple[str, ...]
    tokens: Int[np.ndarray, "language block"]
    items: Int[np.ndarray, "language block"]
    provenance: Provenance

    kind: ClassVar[str]
    unit: ClassVar[str]
    score_name: ClassVar[str]

    @abstractmethod
    def activity(self, blocks: Bool[np.ndarray, " block"]) -> Float[np.ndarray, "language layer unit"]:
        """How much each unit is used by each language, from the chosen blocks."""

    @staticmethod
    @abstractmethod
    def score(activity: Float[np.ndarray, "language layer unit"]) -> Float[np.ndarray, "layer unit"]:
        """Plug-in specialisation of each unit, in nats."""

    @abstractmethod
    def selected(self) -> Bool[np.ndarray, "language layer unit"]:
        """The published way to call units specific to a language, at its default thresholds."""

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return self.tokens.shape[1]

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self._statistics()[0].shape[2]

    @cached_property
    def scores(self) -> Jackknife:
        """Specialisation of each unit in nats, ``[layer, unit]``, bias-corrected over blocks.

        Unbiased estimates scatter around zero for a unit without specialisation, so they can be slightly negative.
        """
        every = np.ones(self.n_blocks, dtype=bool)
        full = self.score(self.activity(every))
        replicates = np.stack([self.score(self.activity(_without(every, b))) for b in range(self.n_blocks)])
        return Jackknife(full, replicates)

    @property
    def per_layer(self) -> Jackknife:
        """Mean specialisation of the units of each layer, in nats, ``[layer]``."""
        return self.scores.mean()

    @property
    def overall(self) -> Jackknife:
        """Mean specialisation over all units, in nats."""
        return self.per_layer.mean()

    def subset(self: Result, blocks: Sequence[int]) -> Result:
        """The result from some of its blocks."""
        index = np.asarray(blocks)
        return self._mapped(lambda array: np.ascontiguousarray(array[:, index]))

    def with_permuted_languages(self: Result, rng: np.random.Generator) -> Result:
        """The result with language labels shuffled within each block, as if they meant nothing."""
        order = np.stack([rng.permutation(len(self.languages)) for _ in range(self.n_blocks)], axis=1)
        columns = np.arange(self.n_blocks)
        return self._mapped(lambda array: array[order, columns])

    def __repr__(self) -> str:
        overall, (low, high) = self.overall, self.overall.interval()
        n_units = self.scores.plug_in.shape[1]
        return (
            f"{type(self).__name__} of {self.provenance.checkpoint or 'a model'} on {self.provenance.prompts or 'prompts'}\n"
            f"  mean {self.score_name} {overall.value:.4g}  [{low:.4g}, {high:.4g}] 95 %\n"
            f"  {self.n_layers} layers x {n_units} {self.unit}s, {len(self.languages)} languages, "
            f"{self.tokens.sum():,} tokens in {self.items.sum():,} prompts, {self.n_blocks} blocks"
        )

    def _repr_html_(self) -> str:
        low, high = self.per_layer.interval()
        rows = "".join(
            f"<tr><td>{i}</td><td>{v:.4g}</td><td>[{a:.4g}, {b:.4g}]</td></tr>"
            for i, (v, a, b) in enumerate(zip(self.per_layer.value, low, high, strict=True))
        )
        head = f"<tr><th>layer</th><th>mean {escape(self.score_name)}</th><th>95 %</th></tr>"
        return f"<pre>{escape(repr(self))}</pre><table>{head}{rows}</table>"

    @abstractmethod
    def per_language(self) -> tuple[str, Float[np.ndarray, "language layer unit"]]:
        """Name and values of what `to_frame` shows for each language."""

    def to_frame(self) -> pd.DataFrame:
        """One row per unit: layer, unit, specialisation, its standard error, and a column per language."""
        import pandas as pd

        layer, unit = np.indices(self.scores.plug_in.shape)
        name, values = self.per_language()
        return pd.DataFrame(
            {
                "layer": layer.ravel(),
                self.unit: unit.ravel(),
                "specialisation_nats": self.scores.value.ravel(),
                "standard_error": self.scores.standard_error.ravel(),
                **{f"{name}_{code}": values[i].ravel() for i, code in enumerate(self.languages)},
            }
        )

    def save(self, path: Path | str) -> Path:
        """Write one .npz without pickle; whole or not at all."""
        path = Path(path)
        meta = {"schema": SCHEMA, "kind": self.kind, "languages": list(self.languages), **self._extra_meta()}
        meta["provenance"] = vars(self.provenance)
        write_archive(path, meta, self._arrays())
        return path

    @classmethod
    def load(cls: type[Result], path: Path | str) -> Result:
        """Read a saved result of this kind.

        Raises:
            ResultError: Not a result, of another kind, or from a newer version.
        """
        meta, arrays = read_archive(Path(path))
        if meta.get("kind") != cls.kind:
            raise ResultError(
                f"{path} holds a result of kind '{meta.get('kind')}'; '{cls.kind}' is expected."
            )
        return cls._from_archive(meta, arrays, str(path))

    @classmethod
    def _from_archive(
        cls: type[Result], meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], where: str
    ) -> Result:
        require_schema(meta, where)
        try:
            provenance = Provenance.of(meta["provenance"])
            own = {f.name for f in fields(cls)} - {"languages", "provenance"}
            values = {k: v for k, v in {**meta, **arrays}.items() if k in own}
            return cls(languages=tuple(meta["languages"]), provenance=provenance, **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ResultError(
                f"{where} lacks parts of a '{cls.kind}' result ({error}); was it edited?"
            ) from None

    def _arrays(self) -> dict[str, np.ndarray]:
        return {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), np.ndarray)}

    def _statistics(self) -> list[np.ndarray]:
        return [a for a in self._arrays().values() if a.ndim == 4]

    def _extra_meta(self) -> dict[str, Any]:
        return {}

    def _mapped(self: Result, change: Callable[[np.ndarray], np.ndarray]) -> Result:
        changed: dict[str, Any] = {name: change(array) for name, array in self._arrays().items()}
        return replace(self, **changed)


def _without(blocks: Bool[np.ndarray, " block"], block: int) -> Bool[np.ndarray, " block"]:
    kept = blocks.copy()
    kept[block] = False
    return kept
