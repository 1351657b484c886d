"""What every result has: provenance, a schema number, and one file without pickle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from jaxtyping import Bool, Float

from interp.characters import visible
from interp.errors import ResultError, nearest
from interp.results.axes import select
from interp.results.checking import read_result
from interp.results.fields import FactIds, Languages, Lengths, PerFact
from interp.results.migration import SCHEMA
from interp.results.provenance import Provenance
from interp.results.storage import write_archive
from interp.stats import FEWEST_CLUSTERS, Estimate, clustered_mean, clustered_share, few_clusters

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SCHEMA", "FactResult", "Note", "Provenance", "Result"]


class Note(str):
    """A diagnostic that weakens a result without making it doubtful; any other is a failed check."""

    __slots__ = ()


class Result(ABC):
    """What results have in common: numpy arrays, plain values (texts, numbers, tuples), and provenance.

    A subclass is a frozen dataclass; it declares its fields, ``provenance`` among them, a ``kind`` and
    `to_frame`. Saving and loading follow from the fields, see `interp.results.fields`.

    Attributes:
        lengths: Axes whose length follows from those of others.
        shortest: Least length of axes; 1 of all others.
    """

    kind: ClassVar[str]
    lengths: ClassVar[Lengths] = {}
    shortest: ClassVar[Mapping[str, int]] = {}
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
            ResultError: Not a result, of another kind, from a newer version, edited or damaged.
        """

        def of_kind(kind: str) -> type[Result]:
            if kind != cls.kind:
                raise ResultError(
                    f"{path} holds a result of kind '{visible(kind, 40)}'; '{cls.kind}' is expected."
                )
            return cls

        made: Any = read_result(Path(path), of_kind)
        return made

    def flaws(self) -> Iterator[tuple[str, str]]:
        """Where values contradict each other beyond what fields declare: what is found, and expected."""
        yield from ()

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
    places: ClassVar[tuple[str, ...]] = ()
    """What the names of quantities begin with that are places, such as a layer, and no amounts."""

    languages: Languages
    fact_ids: FactIds
    groups: PerFact

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

    def zero(self, quantity: str) -> float | None:
        """A quantity's value where nothing is found, from which what survives a control is counted.

        None where there is no such value, as of a layer's number.
        """
        return None if quantity.startswith(self.places) else 0.0

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
