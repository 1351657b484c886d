"""One pass over batches: out-of-memory, values that are not finite, interruption and resumption."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch

from interp.errors import Interrupted, MeasurementError, unequal
from interp.files import require_room
from interp.interruption import stop_signal
from interp.model.loading import LoadedModel
from interp.model.tokens import Batch, EncodedItem, EncodedPrompts
from interp.results.storage import read_archive, write_archive

__all__ = ["Accumulator", "Progress", "Resumable", "require_finite", "run_batches", "run_pass"]

_SAVE_EVERY = 60.0  # seconds between two saved states

Progress = Callable[[int, int], None]
Item = TypeVar("Item")


@runtime_checkable
class Resumable(Protocol):
    """Statistics that an interrupted pass saves and restores."""

    def state(self) -> dict[str, np.ndarray]:
        """Everything added so far."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from a saved state."""


@runtime_checkable
class Accumulator(Resumable, Protocol):
    """Statistics that a pass adds to."""

    def add(self, batch: Batch) -> None:
        """Add a batch: all of it, or nothing if it raises."""


def run_pass(
    loaded: LoadedModel,
    encoded: EncodedPrompts,
    batches: Sequence[tuple[EncodedItem, ...]],
    accumulator: Accumulator,
    *,
    padding: str = "right",
    resume: Path | None = None,
    key: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> int:
    """Feed all batches to the accumulator, and return the number of items in the largest batch that fitted.

    With ``resume``, the state is saved there every minute and on interruption, and a later call with the same
    ``key`` continues; the result is the same to the bit. The file stays: remove it once the result is safe.

    Raises:
        MeasurementError: One item alone does not fit into memory.
        Interrupted: Ctrl-C or SIGTERM, after the current batch was finished and saved.
        NoSpaceError: The state would not fit where it is to be saved.
    """

    def add(items: Sequence[EncodedItem]) -> None:
        accumulator.add(loaded.pad(items, padding))

    def describe(item: EncodedItem) -> str:
        return f"Item {encoded.describe(item)} alone ({len(item)} tokens)"

    return run_batches(loaded, batches, add, accumulator, describe, resume=resume, key=key, progress=progress)


def run_batches(
    loaded: LoadedModel,
    batches: Sequence[Sequence[Item]],
    add: Callable[[Sequence[Item]], None],
    statistics: Resumable,
    describe: Callable[[Item], str],
    *,
    resume: Path | None = None,
    key: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> int:
    """Add batches of anything, in halves where memory runs out; see `run_pass`.

    Args:
        loaded: The model, which decides what a saved state may continue.
        batches: The same ones, in the same order, whenever the run is taken up again.
        add: Adds a batch to the statistics: all of it, or nothing if it raises.
        statistics: What is saved and restored.
        describe: What to call an item that does not fit into memory alone.
        resume: File of the saved state.
        key: What must be the same to continue.
        progress: Called with batches done and batches in all.
    """
    key = {**(key or {}), **_numerics(loaded)}
    if resume is not None and loaded.checkpoint is None:
        key["weights"] = _weights_digest(loaded)
    done, largest = _restore(resume, key, statistics)
    if resume is not None:
        require_room(resume.parent, sum(a.nbytes for a in statistics.state().values()))
    saved = time.monotonic()
    with stop_signal() as stopped:
        for index in range(done, len(batches)):
            largest = max(largest, _within_memory(batches[index], add, describe))
            if progress:
                progress(index + 1, len(batches))
            if stopped():
                _save(resume, key, statistics, index + 1, largest)
                raise Interrupted(f"Stopped after {index + 1} of {len(batches)} batches.")
            if time.monotonic() - saved > _SAVE_EVERY:
                _save(resume, key, statistics, index + 1, largest)
                saved = time.monotonic()
    return largest


def require_finite(loaded: LoadedModel, encoded: EncodedPrompts, batch: Batch, hidden: torch.Tensor) -> None:
    """Refuse a batch whose final hidden states are not finite: NaN > 0 is False and would count as inactive.

    Raises:
        MeasurementError: Names the first layer, language and item.
    """
    real = batch.attention.bool().unsqueeze(-1).to(hidden.device)
    if torch.isfinite(hidden.masked_fill(~real, 0)).all():
        return
    layer, row = _first_bad(loaded, batch)
    raise MeasurementError(
        f"Activations are not finite from layer {layer} on, first in item "
        f"{encoded.describe(batch.items[row])}. The model runs in "
        f"{str(loaded.model.dtype).removeprefix('torch.')}; try --dtype float32, and check the weights."
    )


def _first_bad(loaded: LoadedModel, batch: Batch) -> tuple[int, int]:
    from interp.model.hooks import reading
    from interp.model.sites import Site

    bad: dict[int, int] = {}

    def look(value: torch.Tensor, site: Site) -> None:
        real = batch.attention.bool().unsqueeze(-1).to(value.device)
        rows = (~torch.isfinite(value.masked_fill(~real, 0))).flatten(1).any(dim=1)
        if rows.any():
            bad.setdefault(site.layer, int(rows.float().argmax()))

    sites = [Site("resid_post", layer) for layer in range(loaded.architecture.n_layers)]
    with torch.no_grad(), reading(loaded.architecture, dict.fromkeys(sites, look)):
        loaded.architecture.body(**batch.inputs())
    return min(bad.items(), default=(loaded.architecture.n_layers, 0))


def _within_memory(
    items: Sequence[Item], add: Callable[[Sequence[Item]], None], describe: Callable[[Item], str]
) -> int:
    """Add a batch; when memory runs out, add its halves. Returns the size that fitted."""
    try:
        add(items)
        return len(items)
    except (torch.OutOfMemoryError, MemoryError):
        pass  # leave the except block first, so that its traceback releases the tensors
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # how torch's CPU allocator says it
            raise
    if len(items) == 1:
        raise MeasurementError(
            f"{describe(items[0])} does not fit into memory; use a device with more, or a smaller dtype."
        )
    logging.getLogger(__name__).warning("Memory ran out with %d rows; going on with halves.", len(items))
    torch.cuda.empty_cache()
    middle = (len(items) + 1) // 2
    return max(_within_memory(half, add, describe) for half in (items[:middle], items[middle:]))


def _numerics(loaded: LoadedModel) -> dict[str, Any]:
    """What 'auto' came to: on another machine it can come to something else."""
    return {f"resolved {name}": loaded.describe()[name] for name in ("dtype", "attention")}


def _weights_digest(loaded: LoadedModel) -> str:
    """SHA-256 of a model that has no files."""
    digest = hashlib.sha256()
    for name, tensor in sorted(loaded.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _restore(resume: Path | None, key: dict[str, Any], statistics: Resumable) -> tuple[int, int]:
    """Batches done before, and items in the largest of them."""
    if resume is None or not resume.exists():
        return 0, 0
    meta, arrays = read_archive(resume)
    saved, done, largest = (meta.get(name, "") for name in ("key", "done", "largest"))
    whole = isinstance(saved, dict) and type(done) is int and type(largest) is int and done >= 0
    if whole and (differing := unequal(saved, key)):
        raise MeasurementError(f"{resume} is of another run ({differing}). Use --fresh to discard it.")
    for name, values in statistics.state().items():
        there = arrays.get(name)
        grows = name in getattr(statistics, "growing", ())
        if there is None or there.dtype != values.dtype or not (grows or there.shape == values.shape):
            whole = False
    unlike = MeasurementError(f"{resume} is not the state of an interrupted run. Use --fresh to discard it.")
    if not whole:
        raise unlike
    try:
        statistics.restore(arrays)
    except ValueError:  # of texts that were edited
        raise unlike from None
    return int(meta["done"]), int(meta["largest"])


def _save(resume: Path | None, key: dict[str, Any], statistics: Resumable, done: int, largest: int) -> None:
    if resume is not None:
        write_archive(
            resume, {"key": key, "done": done, "largest": largest}, statistics.state(), compress=False
        )
