"""Collect each layer's vector at one place of every prompt, in one pass: in memory, or on disk when large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from interp.data.hashing import digest_of
from interp.data.prompts import PromptSet
from interp.errors import ConfigError, DataError
from interp.measure.passes import Progress, require_finite, run_pass
from interp.measure.provenance import Measurement
from interp.model.hooks import reading
from interp.model.loading import LoadedModel
from interp.model.sites import Architecture, Site
from interp.model.tokens import Batch, EncodedPrompts, length_sorted
from interp.results.base import Provenance
from probes import store
from probes.positions import ONE_TOKEN, Key, key_of, position_weights

__all__ = ["EMBEDDING", "IN_MEMORY", "Activations", "Collector", "collect", "parse_layers", "resolve_layers"]

EMBEDDING = -1
"""The number of what enters layer 0."""
IN_MEMORY = 256 * 2**20
"""Bytes above which activations are written to disk as they come (256 MiB)."""


@dataclass(frozen=True)
class Activations:
    """One vector per layer, prompt and language.

    Attributes:
        values: float32; on disk when large.
        layers: Number of each layer, `EMBEDDING` for what enters layer 0.
        prompts: What was read; the same items in every language.
        provenance: Of the pass.
    """

    values: Float[np.ndarray, "layer fact language model"]
    layers: tuple[int, ...]
    prompts: PromptSet
    provenance: Provenance


def parse_layers(text: str) -> tuple[int, ...] | None:
    """Read ``all`` (None), or numbers and ``embedding``, separated by commas.

    Raises:
        ConfigError: Something else was given, or a layer twice.
    """
    if text.strip() == "all":
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part == "embedding" or part.isdecimal() for part in parts):
        raise ConfigError(
            f"'layers' is '{text}'; all, or numbers from 0 such as 0,3,7 are expected, or 'embedding'."
        )
    layers = tuple(EMBEDDING if part == "embedding" else int(part) for part in parts)
    if len(set(layers)) < len(layers):
        raise ConfigError(f"'layers' is '{text}', which names a layer more than once.")
    return tuple(sorted(layers))


def resolve_layers(layers: Sequence[int] | None, architecture: Architecture, site: str) -> tuple[int, ...]:
    """Return the layers to read; all that there are for None.

    Raises:
        CapabilityError: The model lacks the site or a layer.
        ConfigError: The embedding was asked for at a site inside a layer.
    """
    if layers is None:
        return tuple(range(EMBEDDING if site == "resid_post" else 0, architecture.n_layers))
    if EMBEDDING in layers and site != "resid_post":
        raise ConfigError(
            f"The embedding has no site '{site}'. Leave 'embedding' out, or use --site resid_post."
        )
    for layer in layers:
        architecture.module(_site(site, layer))
    return tuple(layers)


def collect(
    loaded: LoadedModel,
    prompts: PromptSet,
    *,
    positions: str = "last",
    layers: Sequence[int] | None = None,
    site: str = "resid_post",
    subjects: Mapping[Key, str] | None = None,
    batch_tokens: int = 4096,
    padding: str = "right",
    file: Path | None = None,
    in_memory: int = IN_MEMORY,
    progress: Progress | None = None,
) -> Activations:
    """Read every prompt once and keep one vector per layer.

    The residual stream is read as it leaves each layer, before the final norm: Hugging Face's
    ``hidden_states[-1]`` is normed and stands on another scale than the rest.

    Args:
        loaded: The opened checkpoint.
        prompts: What is read; parallel.
        positions: See `probes.positions.position_weights`.
        layers: Which; by default all, with the embedding at ``resid_post``.
        site: ``resid_post``, ``attn_out`` or ``mlp_out``.
        subjects: The subject's name per prompt, for the positions ``subject_last``.
        batch_tokens: Padded tokens per forward pass.
        padding: 'right' or 'left'; changes nothing but speed.
        file: Where large activations are kept (.npy), and used again if the model is of a checkpoint; an
            interrupted pass continues there. Small ones leave only the state of an interrupted pass, beside
            it.
        in_memory: Bytes above which they are large. Without a file, all are kept in memory.
        progress: Called with batches done and batches in all.

    Raises:
        DataError: The prompts are not parallel.
        CapabilityError: The model lacks a layer or a site.
        MeasurementError: Values that are not finite, an item longer than the context, or a file of another
            question.
        NoSpaceError: Large activations do not fit on the disk.
    """
    if not prompts.parallel:
        raise DataError(
            f"'{prompts.name}' is not parallel: its languages do not have the same items in the same order."
        )
    selected = resolve_layers(layers, loaded.architecture, site)
    measurement = Measurement.of(
        loaded, prompts, {"positions": positions, "site": site, "layers": list(selected)}
    )
    options = {"batch_tokens": batch_tokens, "padding": padding}
    shape = (
        len(selected),
        prompts.n_items,
        len(prompts.languages),
        loaded.architecture.config.hidden_size,
    )
    on_disk = file is not None and 4 * int(np.prod(shape)) > in_memory
    about = (
        sorted([*key, name] for key, name in (subjects or {}).items()) if positions == "subject_last" else []
    )
    key = measurement.key(subjects=digest_of({"subjects": about}))
    named = loaded.checkpoint is not None  # without, nothing says whose they are
    if file is not None and on_disk and named and (there := store.reopen(file, key)) is not None:
        return Activations(there, selected, prompts, measurement.provenance(**options))
    encoded = loaded.encode(prompts)
    weights = position_weights(positions, prompts, encoded, loaded.tokenizer, subjects)
    resume = None if file is None else file.with_suffix(".partial")
    values = _array(file, shape, resume) if file is not None and on_disk else np.zeros(shape, np.float32)
    collector = Collector(
        loaded, encoded, weights, [_site(site, layer) for layer in selected], positions, values
    )
    largest = run_pass(
        loaded,
        encoded,
        length_sorted(encoded.items, batch_tokens),
        collector,
        padding=padding,
        resume=resume,
        key=measurement.key(**options, on_disk=on_disk),
        progress=progress,
    )
    if isinstance(values, np.memmap) and file is not None:
        values = store.finish(file, values, key)
    if resume is not None:
        resume.unlink(missing_ok=True)
    provenance = measurement.provenance(**options, largest_batch=largest)
    return Activations(values, selected, prompts, provenance)


class Collector:
    """Vectors of the batches so far, in an array ``[layer, fact, language, model]``."""

    def __init__(
        self,
        loaded: LoadedModel,
        encoded: EncodedPrompts,
        weights: Mapping[Key, np.ndarray],
        sites: Sequence[Site],
        positions: str,
        values: np.ndarray,
    ):
        self.loaded, self.encoded, self.weights = loaded, encoded, weights
        self.sites, self.one_token, self.values = list(sites), positions in ONE_TOKEN, values
        self._row = {
            item_id: row for row, item_id in enumerate(dict.fromkeys(i.item_id for i in encoded.items))
        }

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Read a batch: all of it, or nothing if it raises."""
        real = batch.attention.bool()
        flat = np.concatenate([self.weights[key_of(item)] for item in batch.items])
        weights = torch.zeros(real.shape, device=real.device)
        weights[real] = torch.from_numpy(flat).to(real.device)  # row by row, on whichever side the padding is
        pooled: dict[Site, torch.Tensor] = {}

        def keep(value: torch.Tensor, site: Site) -> None:
            pooled[site] = self._pooled(value, weights.to(value.device))

        with reading(self.loaded.architecture, dict.fromkeys(self.sites, keep)):
            hidden = self.loaded.architecture.body(**batch.inputs()).last_hidden_state
        require_finite(self.loaded, self.encoded, batch, hidden)
        rows = [self._row[item.item_id] for item in batch.items]
        columns = [item.language for item in batch.items]
        for layer, site in enumerate(self.sites):
            self.values[layer, rows, columns] = pooled[site].cpu().numpy()

    def _pooled(self, value: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        if self.one_token:
            return value[torch.arange(len(value), device=value.device), weights.argmax(dim=1)].float()
        used = (weights > 0).unsqueeze(-1)  # what a model makes of padding may not be finite
        return torch.einsum("bt,btd->bd", weights, torch.where(used, value, 0).float())

    def state(self) -> dict[str, np.ndarray]:
        """The vectors, for resuming; those on disk are there already."""
        if isinstance(self.values, np.memmap):
            self.values.flush()
            return {}
        return {"values": self.values}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        if not isinstance(self.values, np.memmap):
            self.values[:] = state["values"]


def _site(name: str, layer: int) -> Site:
    return Site("resid_pre", 0) if layer == EMBEDDING else Site(name, layer)


def _array(file: Path, shape: tuple[int, ...], resume: Path | None) -> np.memmap:
    """The array on disk; an unfinished one only together with the state that says how far it is."""
    assert resume is not None
    partial = file.with_name(file.name + ".partial")
    if not partial.exists():
        resume.unlink(missing_ok=True)
    return store.create(file, shape, keep=resume.exists())
