"""The lens: what every layer would answer in every language at one position of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from interp.data.hashing import digest_of
from interp.data.lexicon import names_in
from interp.data.prompts import PromptSet
from interp.errors import MeasurementError
from interp.measure.lens.positions import encode_positions
from interp.measure.lens.streams import read_streams
from interp.measure.lens.token_sets import Vocabulary, overlaps, unshared
from interp.measure.lens.tuned import TunedLens
from interp.measure.passes import Progress, run_pass
from interp.measure.provenance import Measurement
from interp.model.final_norm import LayerReadout, layer_readout
from interp.model.loading import LoadedModel
from interp.model.tokens import Batch, EncodedPrompts, length_sorted, pad_rows
from interp.model.vocabulary import rows_at_a_time
from interp.results.lens import LensResult
from interp.results.separable import require_separable
from interp.results.settings.lens import LensSettings

__all__ = ["LensReader", "Translate", "measure_lens", "subjects_context"]

Translate = Callable[[torch.Tensor], torch.Tensor]
"""What a tuned lens does to ``[depth, row, model]`` before the norm."""

_CHUNK = 2**21  # logits at a time, where one layer has no more: larger blocks take longer to make
_ROWS = 2**15  # of the unembedding, copied to float32 at a time


def measure_lens(
    loaded: LoadedModel,
    prompts: PromptSet,
    settings: LensSettings | None = None,
    *,
    pivot: str = "en",
    subjects: Mapping[str, Mapping[str, str]] | None = None,
    tuned: TunedLens | None = None,
    batch_tokens: int = 4096,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> LensResult:
    """Read the answer of every prompt, in every language of the set, at every layer.

    Args:
        loaded: The opened checkpoint.
        prompts: A parallel set with answers; an item's answers in all languages are what is looked for.
        settings: Which token is read, and which tokens are a word's.
        pivot: The language that others are compared with.
        subjects: Language to item to what the prompt is about; for the position ``subject_last``.
        tuned: A tuned lens; the plain logit lens without it.
        batch_tokens: Padded tokens per forward pass; halved where memory runs out.
        resume: File for the state of an interrupted pass.
        progress: Called with batches done and batches in all.

    Raises:
        ConfigError: The position or the rule for tokens is unknown.
        MeasurementError: The prompts are not parallel, lack answers or do not fit the model, no item is told
            apart in some language, or activations are not finite.
        CapabilityError: The tokenizer's bytes or the model's final norm cannot be found.
    """
    settings = settings or LensSettings()
    position, tokens = settings.positions, settings.tokens
    if not prompts.parallel or not all(p.answer for code in prompts.languages for p in prompts.prompts[code]):
        raise MeasurementError(
            f"'{prompts.name}' is not parallel or lacks answers; a lens looks for one answer in all "
            "languages."
        )
    vocabulary = Vocabulary(loaded.tokenizer, loaded.n_embeddings)
    words = [
        [p.answer for p in row] for row in zip(*(prompts.prompts[c] for c in prompts.languages), strict=True)
    ]
    sets = [[vocabulary.beginning(word, tokens) for word in row] for row in words]
    overlap = overlaps(sets, words)
    lexicon = unshared(
        [
            frozenset(
                token
                for name in names_in(code, prompts.control)
                for token in vocabulary.beginning(name, tokens)
            )
            for code in prompts.languages
        ]
    )
    read = encode_positions(loaded, prompts, vocabulary, position, subjects)
    require_separable(overlap, read.clean, prompts.languages, pivot)
    stored = settings.stored_tuned(tuned.fitted_on) if tuned else settings.stored()
    context = {"pivot": pivot, **subjects_context(settings, subjects)}
    measurement = Measurement.of(loaded, prompts, stored, **context)
    translate = tuned.translators if tuned else None
    reader = LensReader(loaded, read.encoded, sets, lexicon, translate)
    largest = run_pass(
        loaded,
        read.encoded,
        length_sorted(read.encoded.items, batch_tokens),
        reader,
        resume=resume,
        key=measurement.key(batch_tokens=batch_tokens),
        progress=progress,
    )
    provenance = measurement.provenance(
        batch_tokens=batch_tokens,
        largest_batch=largest,
        read_after_space=read.after_space,
        **(tuned.describe() if tuned else {}),
    )
    items = prompts.prompts[prompts.languages[0]]
    return LensResult(
        languages=prompts.languages,
        fact_ids=tuple(p.item_id for p in items),
        groups=tuple(p.group for p in items),
        overlap=overlap,
        clean=read.clean,
        mass_tokens=tuple(map(len, lexicon)),
        provenance=provenance,
        **reader.state(),
    )


def subjects_context(
    settings: LensSettings, subjects: Mapping[str, Mapping[str, str]] | None
) -> dict[str, Any]:
    """What the prompts are about, where that decides which token is read."""
    if settings.positions != "subject_last":
        return {}
    return {"subjects": digest_of({code: dict(each) for code, each in (subjects or {}).items()})}


class LensReader:
    """What every layer would answer to every item: an accumulator for `interp.measure.passes`.

    Of a batch, one vector per item and layer is kept from the forward pass, and only those are unembedded.

    Args:
        loaded: The model.
        encoded: Items of which one token counts: the one that is read.
        sets: Per item id, in the order of the first language's items, the token set of each language.
        lexicon: Per language, the tokens that speak for it whatever the item; none at all by default.
        translate: A tuned lens.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        encoded: EncodedPrompts,
        sets: Sequence[Sequence[frozenset[int]]],
        lexicon: Sequence[Sequence[int]] = (),
        translate: Translate | None = None,
    ):
        self.loaded = loaded
        self.encoded = encoded
        self.readout = layer_readout(loaded)
        self._translate = translate
        self._energy = token_energy(self.readout)
        n_languages, n_items = len(encoded.languages), len(sets)
        self._row = {item.item_id: i for i, item in enumerate(encoded.items[:n_items])}
        self._sets = _as_block(sets)
        self._lexicon = [list(tokens) for tokens in lexicon]
        shape = (n_items, n_languages, loaded.architecture.n_layers + 1)
        self._values = {
            "probability": np.zeros((*shape, n_languages), dtype=np.float32),
            "rank": np.zeros((*shape, n_languages), dtype=np.int32),
            "mass": np.full((*shape, n_languages), np.nan, dtype=np.float32),
            "entropy": np.zeros(shape, dtype=np.float32),
            "energy": np.zeros(shape, dtype=np.float32),
        }

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Read a batch: all of it, or nothing if it raises."""
        residual = read_streams(self.loaded, self.encoded, batch, self.readout.device)
        if self._translate is not None:
            residual = self._translate(residual)
        rows = [self._row[item.item_id] for item in batch.items]
        at = (rows, [item.language for item in batch.items])
        for name, value in self._read(residual, self._sets[rows]).items():
            self._values[name][at] = value.movedim(0, 1).cpu().numpy()  # layer first there, item first here

    def state(self) -> dict[str, np.ndarray]:
        """Everything read so far, by field of the result."""
        return self._values

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        for name, value in self._values.items():
            value[...] = state[name]

    def _read(
        self,
        residual: Float[torch.Tensor, "depth item model"],
        sets: Int[torch.Tensor, "item language token"],
    ) -> dict[str, torch.Tensor]:
        sets = sets.to(residual.device)
        items = rows_at_a_time(residual[0], self.readout.logits)
        parts = [
            self._read_items(*part)
            for part in zip(residual.split(items, dim=1), sets.split(items), strict=True)
        ]
        joined = {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}
        return {**joined, "energy": self._energy(residual)}

    def _read_items(
        self,
        residual: Float[torch.Tensor, "depth item model"],
        sets: Int[torch.Tensor, "item language token"],
    ) -> dict[str, torch.Tensor]:
        step = max(1, _CHUNK // (residual.shape[1] * len(self.readout.weight)))
        parts = [read_logits(self.readout.logits(part), sets, self._lexicon) for part in residual.split(step)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def read_logits(
    logits: Float[torch.Tensor, "depth item vocab"],
    sets: Int[torch.Tensor, "item language token"],
    lexicon: Sequence[Sequence[int]] = (),
) -> dict[str, torch.Tensor]:
    """Return probability and rank of token sets, and the entropy of the logits, which are overwritten.

    ``probability`` and ``rank`` are ``[depth, item, language]``: the sum over the set, and the place of its
    most probable token (1: no token of the vocabulary is more probable). ``mass``, of the same shape, is the
    probability of a language's tokens in the lexicon, NaN where it has none; it is not there without a
    lexicon. ``entropy`` is ``[depth, item]``, in nats.

    Args:
        logits: In float32.
        sets: Token ids; -1 fills up a set.
        lexicon: Token ids per language, the same for all items.
    """
    logits -= logits.amax(dim=-1, keepdim=True)
    weights = logits.exp()
    total = weights.sum(dim=-1)
    there = (sets >= 0).flatten(1)
    index = sets.clamp(min=0).flatten(1).expand(len(logits), -1, -1)
    of_sets = logits.gather(2, index).masked_fill(~there, -torch.inf).unflatten(2, sets.shape[1:])
    probability = of_sets.exp().sum(dim=-1) / total.unsqueeze(-1)
    mass = _mass(weights, total, lexicon)
    entropy = total.log() - weights.mul_(logits).sum(dim=-1) / total
    best = of_sets.amax(dim=-1)
    above = weights  # 0/1 in float32: exact below 2^24 tokens, and faster than counting booleans
    rank = torch.stack(
        [torch.gt(logits, best[..., i : i + 1], out=above).sum(dim=-1) + 1 for i in range(sets.shape[1])],
        dim=-1,
    )
    return {"probability": probability, "rank": rank.int(), **mass, "entropy": entropy}


def _mass(
    weights: Float[torch.Tensor, "depth item vocab"],
    total: Float[torch.Tensor, "depth item"],
    lexicon: Sequence[Sequence[int]],
) -> dict[str, torch.Tensor]:
    if not lexicon:
        return {}
    ids = torch.tensor([token for tokens in lexicon for token in tokens], device=weights.device)
    parts = weights.index_select(2, ids.int()).split([len(tokens) for tokens in lexicon], dim=2)
    masses = [part.sum(dim=2) if part.shape[2] else torch.full_like(total, torch.nan) for part in parts]
    return {"mass": torch.stack(masses, dim=2) / total.unsqueeze(2)}


@torch.no_grad()
def token_energy(readout: LayerReadout) -> Callable[[torch.Tensor], torch.Tensor]:
    r"""Return the function from residual streams ``[..., model]`` to their token energy ``[...]``.

    The root mean square of the cosines between a residual stream and the directions that tokens are read
    from, over the root
    mean square of the cosines among those directions: 1 for a stream that is as close to tokens as tokens are
    to each other, near 0 for one that tokens do not see. The directions are the rows of the unembedding times
    the final norm's gain. With U their matrix, rows of length 1, and G = U^T U, this is sqrt(vocab h^T G h) /
    (|h| |G|): no logits are needed.

    Source: Wendler et al. (2024), https://aclanthology.org/2024.acl-long.820
    """
    gain = readout.gain()
    gram = torch.zeros(len(gain), len(gain), device=gain.device)
    for part in readout.weight.split(_ROWS):
        unit = torch.nn.functional.normalize(part.float() * gain, dim=1)
        gram += unit.T @ unit
    scale = len(readout.weight) ** 0.5 / gram.norm()

    def energy(residual: torch.Tensor) -> torch.Tensor:
        stream = torch.nn.functional.normalize(residual.float(), dim=-1)
        return scale * ((stream @ gram) * stream).sum(dim=-1).clamp(min=0).sqrt()

    return energy


def _as_block(sets: Sequence[Sequence[frozenset[int]]]) -> Int[torch.Tensor, "item language token"]:
    """Token sets as a block, filled up with -1."""
    rows = [sorted(tokens) or [-1] for row in sets for tokens in row]
    return pad_rows(rows, fill=-1)[0].unflatten(0, (len(sets), len(sets[0])))
