"""What every result has: provenance, a schema number, and one file without pickle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from jaxtyping import Bool, Float

from interp.errors import ResultError, nearest
from interp.results.axes import select
from interp.results.migration import SCHEMA, current
from interp.results.storage import read_archive, write_archive
from interp.stats import FEWEST_CLUSTERS, Estimate, clustered_mean, clustered_share, few_clusters

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SCHEMA", "FactResult", "Note", "Provenance", "Result", "require_schema"]


class Note(str):
    """A diagnostic that weakens a result without making it doubtful; any other is a failed check."""

    __slots__ = ()


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
        """Prompts and settings that differ -> (ours, theirs); the checkpoint is no part of it."""
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


class Result(ABC):
    """What results have in common: numpy arrays, plain values (texts, numbers, tuples), and provenance.

    A subclass is a frozen dataclass; it declares its fields, ``provenance`` among them, a ``kind`` and
    `to_frame`. Saving and loading follow from the fields.
    """

    kind: ClassVar[str]
    provenance: Provenance
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """One row per thing measured."""

    @abstractmethod
    def summary(self) -> pd.DataFrame:
        """The answer in few rows, with its uncertainty and sample size."""

    def diagnostics(self) -> list[str]:
        """What makes the result weaker (`Note`) or doubtful, in words; empty if nothing does."""
        return []

    def select(self, name: str, **where: str | int | Sequence[str | int]) -> np.ndarray:
        """Return an array at named places of its axes, such as ``select("rates", language="sw", layer=3)``.

        Args:
            name: A field or property whose annotation names its axes.
            where: Axis to a place or several; languages by code, other axes by number. An axis with one place
                is dropped.

        Raises:
            ResultError: There is no such array, axis or place.
        """
        return select(self, name, where)

    def _repr_html_(self) -> str:
        table = self.summary().to_html(index=False, float_format="%.4g")
        return f"<pre>{escape(repr(self))}</pre>{table}"

    def save(self, path: Path | str) -> Path:
        """Write one .npz without pickle; whole or not at all."""
        path = Path(path)
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "provenance"}
        arrays = self._arrays()
        meta = {name: value for name, value in plain.items() if name not in arrays}
        head = {"schema": SCHEMA, "kind": self.kind, "provenance": vars(self.provenance)}
        write_archive(path, {**head, **meta}, arrays)
        return path

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a saved result of this kind.

        Raises:
            ResultError: Not a result, of another kind, or from a newer version.
        """
        meta, arrays = read_archive(Path(path))
        meta = current(meta)
        if meta.get("kind") != cls.kind:
            raise ResultError(
                f"{path} holds a result of kind '{meta.get('kind')}'; '{cls.kind}' is expected."
            )
        return cls.from_archive(meta, arrays, str(path))

    @classmethod
    def from_archive(cls, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], where: str) -> Self:
        """Return the result that a file holds.

        Raises:
            ResultError: It lacks parts, or is from a newer version.
        """
        require_schema(meta, where)
        meta = current(meta)
        own = {f.name for f in fields(cls)} - {"provenance"}
        try:
            provenance = Provenance.of(meta["provenance"])
            values = {k: _as_tuples(v) for k, v in {**meta, **arrays}.items() if k in own}
            make: Any = cls
            return make(provenance=provenance, **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ResultError(
                f"{where} lacks parts of a '{cls.kind}' result ({error}); was it edited?"
            ) from None

    def _arrays(self) -> dict[str, np.ndarray]:
        return {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), np.ndarray)}


class FactResult(Result):
    """A result with values per fact: intervals are over facts, and checkpoints are paired fact by fact.

    Attributes:
        languages: Codes, in the order of the language axis.
        fact_ids: In the order of the fact axis.
        groups: Cluster of each fact; its own id where facts are independent.
    """

    headlines: ClassVar[Mapping[str, str]] = {}
    """The quantities that a study makes sentences of, with a noun phrase for each."""

    languages: tuple[str, ...]
    fact_ids: tuple[str, ...]
    groups: tuple[str, ...]

    @property
    def clusterings(self) -> dict[str, tuple[str, ...]]:
        """What facts of one cluster may share: name to a label per fact."""
        return {"group": self.groups, "fact": self.fact_ids}

    def clusters(self, cluster: str = "group") -> tuple[str, ...]:
        """The labels of one of `clusterings`.

        Raises:
            ResultError: There is no such one.
        """
        if cluster not in self.clusterings:
            raise ResultError(
                f"A '{self.kind}' result has no cluster '{cluster}'.{nearest(cluster, self.clusterings)} "
                f"Choose from: {', '.join(self.clusterings)}."
            )
        return self.clusterings[cluster]

    def clustered(self, cluster: str = "group") -> Self:
        """The result with another of `clusterings`, which all of its intervals are then over.

        Raises:
            ResultError: There is no such one.
        """
        made: Any = self
        changed: Self = replace(made, groups=self.clusters(cluster))
        return changed

    @abstractmethod
    def quantities(self) -> dict[str, Float[np.ndarray, " fact"]]:
        """What checkpoints are compared by: name to a value per fact, NaN where a fact has none."""

    def in_common(self, other: Self) -> tuple[Self, Self]:
        """Both results with what can be compared fact by fact; all of it, unless a kind says otherwise."""
        return self, other

    def is_share(self, quantity: str) -> bool:
        """Whether a quantity is a share, 0 to 1: its interval stays within, and has a width at both ends."""
        return False

    def estimate(self, values: Float[np.ndarray, " fact *cell"], *, share: bool = False) -> Estimate:
        """Mean over the facts that have a value, with its 95 % interval over clusters of facts."""
        return (clustered_share if share else clustered_mean)(values, self.groups)

    def clusters_in(self, facts: Bool[np.ndarray, " fact"]) -> int:
        """Clusters among some facts."""
        return len({self.groups[i] for i in np.flatnonzero(facts)})

    def diagnostics(self) -> list[str]:
        """Whether there are enough clusters of facts for an interval."""
        return self.few_clusters(np.ones(len(self.fact_ids), dtype=bool))

    def few_clusters(self, facts: Bool[np.ndarray, " fact"]) -> list[str]:
        """What so few clusters among some facts leave doubtful, in words; empty if they are enough."""
        n_clusters = self.clusters_in(facts)
        texts = few_clusters(int(facts.sum()), n_clusters)
        return texts if n_clusters < FEWEST_CLUSTERS else [Note(text) for text in texts]

    def summary(self, **how: Any) -> pd.DataFrame:
        """One row per quantity: ``n`` facts with a value, ``n_clusters``, ``mean``, and its 95 % interval.

        Args:
            how: Passed to `quantities`.
        """
        import pandas as pd

        return pd.DataFrame(
            {"quantity": name, **self.estimate(values, share=self.is_share(name)).columns("mean")}
            for name, values in self.quantities(**how).items()
        )


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
