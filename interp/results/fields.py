"""What the fields of a result may hold, declared where the field is: along which axes, which values.

An array's type and axes are in its jaxtyping annotation; the rest stands beside it, as
``Annotated[Int[np.ndarray, "fact"], Numbers(0, below="option")]``. What is declared is what
`interp.results.checking` asks of a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

__all__ = ["Along", "FactIds", "Languages", "Lengths", "Numbers", "OneOf", "PerFact", "PerFactLanguage"]


@dataclass(frozen=True)
class Along:
    """Texts or numbers along axes.

    Attributes:
        axes: Of the (nested) tuples, such as ``fact language``.
        unique: Whether no two may be equal.
        free: Whether texts may have control characters: what a model wrote.
    """

    axes: str
    unique: bool = False
    free: bool = False


@dataclass(frozen=True)
class Numbers:
    """Values that numbers may have; infinity never is one.

    Attributes:
        low: The least.
        high: The largest.
        below: An axis: numbers are below its length.
        most: A field: numbers are at most its values, along the axes that both have.
        missing: Whether NaN may stand for what there is not.
    """

    low: float = -math.inf
    high: float = math.inf
    below: str = ""
    most: str = ""
    missing: bool = False


@dataclass(frozen=True)
class OneOf:
    """The texts that a field may have."""

    choices: tuple[str, ...]


Lengths = Mapping[str, Callable[[Mapping[str, int]], int]]
"""Axes whose length follows from those of others."""

Languages = Annotated[tuple[str, ...], Along("language", unique=True)]
FactIds = Annotated[tuple[str, ...], Along("fact", unique=True)]
PerFact = Annotated[tuple[str, ...], Along("fact")]
PerFactLanguage = Annotated[tuple[tuple[str, ...], ...], Along("fact language")]
