"""A matrix of languages in colors that are white at zero, with a dot on cells shown to differ from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

__all__ = ["show_languages"]


def show_languages(
    axes: Axes,
    values: Float[np.ndarray, "row column"],
    marked: Bool[np.ndarray, "row column"],
    languages: Sequence[str],
    most: float,
) -> AxesImage:
    """Draw a matrix on a scale from -most to most; white where NaN."""
    n = len(languages)
    image = axes.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most)
    rows, columns = np.nonzero(marked)
    axes.scatter(columns, rows, s=9, color="black", edgecolors="white", linewidths=0.5)
    axes.set_xticks(range(n), languages, fontsize=6, rotation=90)
    axes.set_yticks(range(n), languages, fontsize=6)
    axes.grid(visible=False)
    return image
