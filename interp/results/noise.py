"""The noise floor: how much a number moves when nothing that matters has changed.

Two floors, both from the counts of one result alone:

* *split half*: the same checkpoint on two disjoint halves of the text. A change between checkpoints that is
  no larger could come from the choice of text. Halves hold half as much text as the comparison, so this floor
  is a little high.
* *permutation*: language labels shuffled within each block, as if they meant nothing. The specialization that
  is left is the level of chance.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from interp.errors import ResultError
from interp.stats import jaccard

if TYPE_CHECKING:
    from interp.results.units import UnitResult

__all__ = ["NoiseFloor", "noise_floor"]

_MOST_SPLITS = 35  # all there are of 8 blocks
_OVERLAP_SPLITS = 10  # selecting units costs more than scoring them


@dataclass(frozen=True)
class NoiseFloor:
    """Differences between halves, and scores with shuffled labels, of one result.

    Attributes:
        halves: Difference of mean specialization between two halves, nats.
        overlap: Jaccard index of the sets that the two halves select (0 to 1), of splits that favor no two
            blocks.
        permuted: Mean specialization with shuffled language labels, bias-corrected, nats.
    """

    halves: Float[np.ndarray, "split layer"]
    overlap: Float[np.ndarray, " some_splits"]
    permuted: Float[np.ndarray, "permutation layer"]

    @property
    def per_layer(self) -> Float[np.ndarray, " layer"]:
        """95th percentile over splits of the absolute difference, per layer, nats."""
        return np.quantile(np.abs(self.halves), 0.95, axis=0)

    @property
    def overall(self) -> float:
        """95th percentile over splits of the absolute difference of the model-level mean, nats."""
        return float(np.quantile(np.abs(self.halves.mean(axis=1)), 0.95))

    @property
    def chance(self) -> float:
        """Largest model-level specialization seen with shuffled labels, nats."""
        return float(self.permuted.mean(axis=1).max())


def noise_floor(result: UnitResult, *, n_permutations: int = 10, seed: int = 0) -> NoiseFloor:
    """Compute both floors of a result.

    Raises:
        ResultError: The result has fewer than 4 blocks, so that a half would not have two.
    """
    if result.n_blocks < 4:
        raise ResultError(
            f"{result.n_blocks} blocks; a noise floor needs at least 4. Measure with --blocks 8."
        )
    rng = np.random.default_rng(seed)
    splits = _splits(result.n_blocks, rng)
    halves = [_plug_in(result, one) - _plug_in(result, other) for one, other in splits]
    overlap = [jaccard(*(result.subset(half).selected() for half in pair)) for pair in _balanced(splits)]
    permuted = [result.with_permuted_languages(rng).per_layer.value for _ in range(n_permutations)]
    return NoiseFloor(np.stack(halves), np.array(overlap), np.stack(permuted))


def _plug_in(result: UnitResult, blocks: list[int]) -> Float[np.ndarray, " layer"]:
    """Mean specialization from some blocks; of equal halves the plug-in bias cancels in their difference."""
    return result.score(result.activity(np.isin(np.arange(result.n_blocks), blocks))).mean(axis=-1)


def _splits(n_blocks: int, rng: np.random.Generator) -> list[tuple[list[int], list[int]]]:
    """Ways to halve the blocks (an odd one is left out): all, or a random choice of many."""
    even = n_blocks - n_blocks % 2
    if n_blocks <= 8:
        first = [(0, *rest) for rest in itertools.combinations(range(1, even), even // 2 - 1)]
        return [(list(one), [b for b in range(even) if b not in one]) for one in first]
    orders = [rng.permutation(n_blocks)[:even].tolist() for _ in range(_MOST_SPLITS)]
    return [(order[: even // 2], order[even // 2 :]) for order in orders]


def _balanced(splits: list[tuple[list[int], list[int]]]) -> list[tuple[list[int], list[int]]]:
    """Few splits in which every two blocks are in the same half equally often.

    All of them where there are few. Of the 35 of 8 blocks, the 7 with halves closed under exclusive or: two
    blocks are together in 3. Random ones favor none.
    """
    if len(splits) <= _OVERLAP_SPLITS:
        return splits
    closed = [(one, other) for one, other in splits if all(a ^ b in one for a in one for b in one)]
    return closed or splits[:_OVERLAP_SPLITS]
