"""What a result says where nothing that matters has changed, from the counts of that result alone.

* *noise floor*: how much the mean specialization of one checkpoint differs between two texts of this size. It
is
  larger than the noise of a comparison, in which both checkpoints read one text: that is judged by the noise
  of the paired change (`interp.stats.Jackknife.noise`).
* *overlap of halves*: how much the units selected from two halves of the text have in common.
* *chance*: the specialization that is left when language labels are shuffled within each block.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from interp.errors import ResultError
from interp.stats import Noise, jaccard, known_mean

if TYPE_CHECKING:
    from interp.results.units import UnitResult

__all__ = ["NoiseFloor", "halves", "noise_floor"]

_MOST_SPLITS = 10  # of random ones; selecting units costs more than scoring them


@dataclass(frozen=True)
class NoiseFloor:
    """What one result gives where nothing has changed.

    Attributes:
        layers: 95th percentile of the absolute difference of each layer's mean specialization between two
            texts of this size, with its own uncertainty, nats.
        mean: The same of the mean over layers.
        overlap: Jaccard index of the sets that two halves of the text select (0 to 1), of splits that favor
            no two blocks.
        permuted: Mean specialization with shuffled language labels, bias-corrected, nats.
    """

    layers: Noise
    mean: Noise
    overlap: Float[np.ndarray, " some_splits"]
    permuted: Float[np.ndarray, "permutation layer"]

    @property
    def per_layer(self) -> Float[np.ndarray, " layer"]:
        """The value of ``layers``."""
        return self.layers.value

    @property
    def overall(self) -> float:
        """The value of ``mean``."""
        return float(self.mean.value)

    @property
    def chance(self) -> float:
        """Largest model-level specialization seen with shuffled labels, nats."""
        return float(known_mean(self.permuted, axis=1).max())


def noise_floor(result: UnitResult, *, n_permutations: int = 10, seed: int = 0) -> NoiseFloor:
    """Compute the noise floor of a result, the overlap of its halves, and its level of chance.

    Raises:
        ResultError: The result has fewer than 4 blocks, so that a half would not have two.
    """
    if result.n_blocks < 4:
        raise ResultError(
            f"{result.n_blocks} blocks; a noise floor needs at least 4. Measure with --blocks 8."
        )
    rng = np.random.default_rng(seed)
    splits = halves(result.n_blocks, rng)
    overlap = [jaccard(*(result.subset(half).selected() for half in pair)) for pair in splits]
    permuted = [result.with_permuted_languages(rng).per_layer.value for _ in range(n_permutations)]
    layers, mean = (found.noise(texts=2) for found in (result.per_layer, result.overall))
    return NoiseFloor(layers, mean, np.array(overlap), np.stack(permuted))


def halves(n_blocks: int, rng: np.random.Generator) -> list[tuple[list[int], list[int]]]:
    """Ways to halve the blocks (an odd one is left out) in which every two are together equally often.

    All of them where there are few. Of the 35 of 8 blocks, the 7 with halves closed under exclusive or: two
    blocks are together in 3. Of more, random ones, which favor none.
    """
    even = n_blocks - n_blocks % 2
    if n_blocks > 8:
        orders = [rng.permutation(n_blocks)[:even].tolist() for _ in range(_MOST_SPLITS)]
        return [(order[: even // 2], order[even // 2 :]) for order in orders]
    first = [[0, *rest] for rest in itertools.combinations(range(1, even), even // 2 - 1)]
    if even == 8:
        first = [one for one in first if all(a ^ b in one for a in one for b in one)]
    return [(one, [block for block in range(even) if block not in one]) for one in first]
