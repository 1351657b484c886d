r"""A tuned lens: one affine translator per layer, fitted so that each layer predicts the model's output.

A plain lens reads a layer as if its basis were the last layer's. Where that is not so it shows too little,
and what it shows late need not be decided late. The translator h -> h + W h + b of a layer minimizes
KL(output || lens) over text, so it is a
control: a pivot that only the plain lens shows is a matter of basis. It starts at the identity, where it is
    the plain lens.

Source: Belrose et al. (2023), https://arxiv.org/abs/2303.08112
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from interp.data.hashing import hash_key
from interp.data.prompts import PromptSet
from interp.errors import MeasurementError
from interp.measure.lens.streams import read_streams
from interp.model.final_norm import LayerReadout, layer_readout
from interp.model.loading import LoadedModel
from interp.model.tokens import EncodedItem, EncodedPrompts, length_sorted
from interp.model.vocabulary import rows_at_a_time

__all__ = ["Translators", "TunedLens", "fit_tuned_lens"]

_PARTS = ("fit", "choose", "report")
_HELD_OUT = 0.1  # of the groups, to choose by, and as many to report; by the hash of their names
_PER_TEXT = 64  # positions of one text at most, evenly spread
_BATCH = 256  # positions per step
_TRIALS = 8  # times that the divergence is looked at during the fit
_MATRIX_RATE = 0.3  # of Adam, over the width: one step then changes a stream alike at all widths
_BIAS_RATE = 0.03  # of Adam, in units of the stream's root mean square


@dataclass(frozen=True)
class Translators:
    """h -> h + W h + b for every layer's stream but the last's, which is the output's already.

    Attributes:
        weight: W.
        bias: b.
    """

    weight: Float[torch.Tensor, "layer model model"]
    bias: Float[torch.Tensor, "layer model"]

    def __call__(
        self, streams: Float[torch.Tensor, "depth row model"]
    ) -> Float[torch.Tensor, "depth row model"]:
        """Translate, in the streams' own type."""
        early = streams[:-1].float()
        moved = early + torch.baddbmm(self.bias.unsqueeze(1), early, self.weight.mT)
        return torch.cat([moved.to(streams.dtype), streams[-1:]])


@dataclass(frozen=True)
class TunedLens:
    """Fitted translators, and what they gained on text that the fit did not see.

    Attributes:
        translators: What `interp.measure.lens.lens.measure_lens` takes.
        plain: KL(output || plain lens) per depth, the last included, in nats, mean over the positions of the
            report.
        tuned: KL(output || tuned lens) on the same positions; never above ``plain``.
        steps: Steps after which each layer's translator was taken; 0 where none was better than the plain
            lens.
        positions: Positions that were fitted on, that chose the steps, and that are reported.
        fitted_on: Digest of the prompts.
    """

    translators: Translators
    plain: Float[np.ndarray, " depth"]
    tuned: Float[np.ndarray, " depth"]
    steps: tuple[int, ...]
    positions: dict[str, int]
    fitted_on: str

    def describe(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        held_out = {"plain": self.plain.tolist(), "tuned": self.tuned.tolist()}
        return {
            "held_out_kl": held_out,
            "tuned_steps_chosen": list(self.steps),
            "tuned_positions_used": self.positions,
        }


def fit_tuned_lens(
    loaded: LoadedModel,
    texts: PromptSet,
    *,
    positions: int = 8192,
    steps: int = 160,
    batch_tokens: int = 4096,
    progress: Callable[[int, int], None] | None = None,
) -> TunedLens:
    """Fit a tuned lens on prompts with their answers, or on running text.

    Texts are drawn by the hash of their names. Of their groups a tenth chooses after how many steps a layer's
    translator is taken, another tenth gives the divergence that is reported; the fit sees neither. A
    translator that is worse than the plain lens on the reported positions is dropped for the plain lens.

    Args:
        loaded: The opened checkpoint.
        texts: What is read.
        positions: About this many positions, all in memory: depth x positions x width.
        steps: Of Adam; its rate falls linearly to zero.
        batch_tokens: Padded tokens per forward pass.
        progress: Called with steps done and steps in all.

    Raises:
        MeasurementError: Fewer than three groups of text, or activations that are not finite.
    """
    encoded = loaded.encode(texts)
    readout = layer_readout(loaded)
    streams = {
        part: _streams(loaded, readout, replace(encoded, items=tuple(items)), batch_tokens)
        for part, items in _dealt(encoded, texts, positions).items()
    }
    translators, best_steps = _fit(readout, streams["fit"], streams["choose"], steps, progress)
    plain = _divergences(readout, streams["report"])
    tuned = _divergences(readout, translators(streams["report"]))
    worse = tuned[:-1] > plain[:-1]
    translators.weight[worse], translators.bias[worse] = 0, 0
    return TunedLens(
        translators,
        plain,
        np.minimum(tuned, plain),
        tuple(np.where(worse, 0, best_steps).tolist()),
        {part: stream.shape[1] for part, stream in streams.items()},
        texts.digest,
    )


def _dealt(encoded: EncodedPrompts, texts: PromptSet, positions: int) -> dict[str, list[EncodedItem]]:
    """Texts up to a number of positions, by what they are for; a group of texts stays together."""
    group = {(p.language, p.item_id): p.group for code in texts.languages for p in texts.prompts[code]}
    drawn: dict[str, list[EncodedItem]] = {}
    n_positions = 0
    for item in sorted(encoded.items, key=lambda i: hash_key("tuned lens", str(i.language), i.item_id)):
        if n_positions >= positions:
            break
        thinned = _thinned(item)
        n_positions += sum(thinned.counted)
        drawn.setdefault(group[encoded.languages[item.language], item.item_id], []).append(thinned)
    names = sorted(drawn, key=lambda name: hash_key("tuned lens", name))
    if len(names) < len(_PARTS):
        raise MeasurementError(
            f"The texts for the tuned lens are of {len(names)} groups; {len(_PARTS)} are needed, to fit on, "
            "to choose by and to report. Add texts, or positions."
        )
    held = max(1, round(_HELD_OUT * len(names)))
    cuts = {"choose": names[:held], "report": names[held : 2 * held], "fit": names[2 * held :]}
    return {part: [item for name in cuts[part] for item in drawn[name]] for part in _PARTS}


def _thinned(item: EncodedItem) -> EncodedItem:
    places = np.flatnonzero(item.counted)
    thinned = set(places[:: -(-len(places) // _PER_TEXT)].tolist())
    return replace(item, counted=tuple(i in thinned for i in range(len(item))))


def _streams(
    loaded: LoadedModel, readout: LayerReadout, encoded: EncodedPrompts, batch_tokens: int
) -> Float[torch.Tensor, "depth position model"]:
    parts = []
    for items in length_sorted(encoded.items, batch_tokens):
        parts.append(read_streams(loaded, encoded, loaded.pad(items), readout.device))
    return torch.cat(parts, dim=1)


def _fit(
    readout: LayerReadout,
    streams: Float[torch.Tensor, "depth position model"],
    held_out: Float[torch.Tensor, "depth held model"],
    steps: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[Translators, np.ndarray]:
    """The translators that are best on the held-out positions, each layer on its own, and their steps."""
    layers, width = len(streams) - 1, streams.shape[2]
    scale = streams[:-1].float().square().mean(dim=(1, 2)).sqrt().unsqueeze(1)
    matrix = torch.zeros(layers, width, width, device=streams.device, requires_grad=True)
    shift = torch.zeros(layers, width, device=streams.device, requires_grad=True)
    adam = torch.optim.Adam(
        [{"params": [matrix], "lr": _MATRIX_RATE / width}, {"params": [shift], "lr": _BIAS_RATE}]
    )
    falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / steps)
    generator = torch.Generator().manual_seed(0)
    best = Translators(matrix.detach().clone(), shift.detach().clone())
    least = _divergences(readout, held_out)[:-1]
    best_steps = np.zeros(layers, dtype=np.int64)
    for step in range(1, steps + 1):
        batch = torch.randint(streams.shape[1], (_BATCH,), generator=generator).to(streams.device)
        _step(readout, Translators(matrix, shift * scale), streams[:, batch])
        adam.step()
        adam.zero_grad()
        falling.step()
        if step % max(1, steps // _TRIALS) == 0 or step == steps:
            now = Translators(matrix.detach(), (shift * scale).detach())
            divergence = _divergences(readout, now(held_out))[:-1]
            better = divergence < least
            least = np.where(better, divergence, least)
            best_steps = np.where(better, step, best_steps)
            best.weight[better], best.bias[better] = now.weight[better], now.bias[better]
        if progress:
            progress(step, steps)
    return best, best_steps


def _step(readout: LayerReadout, now: Translators, streams: Float[torch.Tensor, "depth row model"]) -> None:
    """Add the gradients of one batch, a layer at a time."""
    moved = now(streams)[:-1]
    leaves = moved.detach().requires_grad_()
    n_rows = streams.shape[1]
    for rows in torch.arange(n_rows, device=streams.device).split(
        rows_at_a_time(streams[-1], readout.logits)
    ):
        with torch.no_grad():
            output = readout.logits(streams[-1][rows]).log_softmax(dim=-1)
        for leaf in leaves.unbind():
            each = _divergence(output, readout.logits(leaf[rows]).log_softmax(dim=-1))
            (each.sum() / n_rows).backward()
    moved.backward(leaves.grad)


@torch.no_grad()
def _divergences(
    readout: LayerReadout, streams: Float[torch.Tensor, "depth row model"]
) -> Float[np.ndarray, " depth"]:
    """Mean KL(output || lens) of every depth, in nats."""
    total = torch.zeros(len(streams), dtype=torch.float64)
    for part in streams.split(rows_at_a_time(streams[-1], readout.logits), dim=1):
        output = readout.logits(part[-1]).log_softmax(dim=-1)
        for depth, stream in enumerate(part):
            divergence = _divergence(output, readout.logits(stream).log_softmax(dim=-1))
            total[depth] += divergence.double().sum().cpu()
    return (total / streams.shape[1]).numpy()


def _divergence(
    output: Float[torch.Tensor, "row vocab"], lens: Float[torch.Tensor, "row vocab"]
) -> Float[torch.Tensor, " row"]:
    return (output.exp() * (output - lens)).sum(dim=-1)
