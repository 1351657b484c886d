"""The lens: a panel per language, with the curves of its answer and the pivot's, and the entropy above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter

from figures.drawing import Drawing
from figures.layers import layer_ticks, show_legend
from figures.style import Look, look, new_figure, width_for
from figures.table import Table, estimate, number
from interp.data.languages import LANGUAGES
from interp.results.lens import QUANTITIES, LensResult
from probes.layers import layer_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawings", "lens_data", "plot_lens", "tables"]

_COLUMNS = 4
_MOST_LABELS = 6
_LINEAR_BELOW = 1e-3  # of the probability axis, which is logarithmic above
_AXES = {"probability": "probability of the answer", "mass": "probability of the language's lexicon"}
_STRIP = 0.09  # height of one checkpoint's entropy, in panel heights


_LEGEND = (
    "takeover layer: first layer from which on the prompt's language is above the pivot (-1: the "
    "embedding); pivot "
    "area: mean probability of the pivot's answer over depth; pivot lead: mean of what it is above the "
    "prompt's "
    "language by; pivot mass: mean probability of the pivot's lexicon over depth, whatever the answer. 95 % "
    "intervals over clusters of facts."
)


def drawings(results: Sequence[LensResult], names: Sequence[str]) -> list[Drawing]:
    """Curves of the answers, and of the lexicon where there is one."""
    shown = {"": "probability"} | ({"mass": "mass"} if any(results[0].mass_tokens) else {})
    return [
        Drawing(stem, partial(plot_lens, results, names, of), lens_data(results, names, of))
        for stem, of in shown.items()
    ]


def tables(results: Sequence[LensResult], names: Sequence[str]) -> list[Table]:
    """Per checkpoint one row per language of the prompt; and how far a tuned lens is from the output."""
    shown = []
    for name, result in zip(names, results, strict=True):
        shown.append(_languages(name, result))
        if "held_out_kl" in result.provenance.run:
            shown.append(_divergence(name, result))
    return [replace(shown[0], note=_LEGEND), *shown[1:]]


def _languages(name: str, result: LensResult) -> Table:
    rows = []
    for row in result.by_language().to_dict("records"):
        cells = [estimate(row[q], row[f"{q} low"], row[f"{q} high"]) for q in QUANTITIES]
        counts = (f"{row['n']:,}", f"{row['n_clusters']:,}", number(row["left_out"], 0))
        rows.append((row["language"], *counts, *cells))
    lens = result.provenance.settings.get("lens", "logit")
    title = f"{name}: {lens} lens, pivot {result.pivot}, {result.n_layers - 1} layers"
    return Table(title, ("prompt", "n", "clusters", "left out", *QUANTITIES), tuple(rows))


def _divergence(name: str, result: LensResult) -> Table:
    held_out: dict[str, list[float]] = result.provenance.run["held_out_kl"]
    rows = tuple((lens, *(number(value) for value in values)) for lens, values in held_out.items())
    header = ("lens", *map(layer_name, result.layers))
    return Table(f"{name}: KL(output || lens) on held-out text by layer (nats)", header, rows)


def plot_lens(results: Sequence[LensResult], names: Sequence[str], quantity: str = "probability") -> Figure:
    """Per language: probability at each layer with its 95 % interval; above, the entropy of these facts.

    Full signs and full lines are the prompt's own language, empty signs and dotted lines the pivot. The
    probability axis is linear up to 0.001 and logarithmic above; the layer -1, "emb.", is what enters layer
    0.

    Args:
        results: One per checkpoint.
        names: What to call them.
        quantity: ``probability`` of the answer's first tokens, or ``mass`` of the language's lexicon.
    """
    first = results[0]
    shown = [code for code in first.languages if code != first.pivot]
    columns = max(1, min(_COLUMNS, len(shown), int((width_for(0.9 + 2.4 * _COLUMNS) - 0.6) / 1.5)))
    rows = -(-len(shown) // columns)
    top = max(float(np.nanmax(result.mean_entropy())) for result in results)
    with new_figure(0.9 + 2.4 * columns, 0.9 + (2.1 + 0.2 * len(results)) * rows) as figure:
        grid = figure.add_gridspec(rows, columns + 1, width_ratios=[*[1] * columns, 0.05])
        for place, code in enumerate(shown):
            inner = grid[divmod(place, columns)].subgridspec(
                2, 1, height_ratios=[_STRIP * len(results), 1], hspace=0
            )
            curves = figure.add_subplot(inner[1])
            strip = figure.add_subplot(inner[0], sharex=curves)
            image = _strip(strip, results, code, top)
            _panel(curves, results, names, code, quantity)
            if place + columns >= len(shown):
                curves.set_xlabel("layer")
            own = first.languages.index(code)
            counted = (first.clean[:, own] if quantity == "mass" else first.counted(code)).sum()
            label = LANGUAGES[code].name if code in LANGUAGES else code
            strip.set_title(f"{label} ({code}), n {counted}", loc="left", fontsize=8)
        bar = figure.colorbar(
            image, cax=figure.add_subplot(grid[0, columns]), label="entropy (nats) of the strips"
        )
        bar.ax.grid(visible=False)
        figure.supylabel(_AXES[quantity], fontsize=9)
        show_legend(
            figure,
            names,
            full="prompt's language",
            empty=f"{first.pivot}, the pivot",
        )
        return figure


def lens_data(
    results: Sequence[LensResult], names: Sequence[str], quantity: str = "probability"
) -> pd.DataFrame:
    """The numbers of `plot_lens`, tidy: quantity, checkpoint, prompt, answer, layer, n, n_clusters, ..."""
    import pandas as pd

    tables = []
    for result, name in zip(results, names, strict=True):
        means = result.to_frame()[["prompt", "layer", "n", "n_clusters", "entropy"]].rename(
            columns={"entropy": "value"}
        )
        tables.append(result.curves(quantity).assign(quantity=quantity, checkpoint=name))
        tables.append(means.assign(quantity="entropy (nats)", checkpoint=name))
    order = ["quantity", "checkpoint", "prompt", "answer", "layer", "n", "n_clusters"]
    order += ["value", "low", "high", "rank"]
    return pd.concat(tables, ignore_index=True)[order]


def _panel(axes: Axes, results: Sequence[LensResult], names: Sequence[str], code: str, quantity: str) -> None:
    for index, (result, name) in enumerate(zip(results, names, strict=True)):
        table = result.curves(quantity, prompts=(code,))
        for answer in (code, result.pivot):
            style, own = look(index), answer == code
            part = table[table.answer == answer]
            axes.fill_between(part.layer, part.low, part.high, color=style.color, alpha=0.15, linewidth=0)
            axes.plot(part.layer, part.value, label=_label(name, own, result.pivot), **_line(style, own))
    axes.set_yscale("symlog", linthresh=_LINEAR_BELOW, linscale=0.5)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(labelsize=7)
    layers = results[0].layers
    chosen = layer_ticks(layers, _MOST_LABELS)
    axes.set_xticks([layers[i] for i in chosen], [layer_name(layers[i]) for i in chosen])


def _line(style: Look, own: bool) -> dict[str, Any]:
    return {
        "color": style.color,
        "linestyle": "-" if own else ":",
        "marker": style.marker,
        "markersize": 3.5,
        "markerfacecolor": style.color if own else "white",
        "linewidth": 1.2,
    }


def _label(name: str, own: bool, pivot: str) -> str:
    return f"{name}: prompt's language" if own else f"{name}: {pivot}"


def _strip(axes: Axes, results: Sequence[LensResult], code: str, top: float) -> AxesImage:
    """One row per checkpoint, the first on top."""
    values = np.stack([result.mean_entropy()[result.languages.index(code)] for result in results])
    extent = (-1.5, values.shape[1] - 1.5, len(results) - 0.5, -0.5)
    image = axes.imshow(values, aspect="auto", extent=extent, cmap="viridis", vmin=0, vmax=top)
    axes.set_yticks([])
    axes.tick_params(labelbottom=False, bottom=False)
    axes.grid(visible=False)
    return image
