"""The files of a checkpoint's folder: only its own, whole, and what their headers say, without torch.

Only safetensors are read. A pickle can run code when it is opened, and a truncated safetensors file is
detected from its
header before anything is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from interp.characters import visible
from interp.errors import CheckpointError

__all__ = [
    "ADAPTER_WEIGHTS",
    "TOKENIZER_FILES",
    "StoredTensor",
    "described",
    "has_tokenizer",
    "read_json",
    "require_own_files",
    "require_weights",
    "stored_tensors",
    "weight_files",
]

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "merges.txt")
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_TOKENIZER_EXTRAS = ("special_tokens_map.json", "added_tokens.json")
_WHOLE = "model.safetensors"  # where there is an index as well, this is what is loaded
_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth")
_READ = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_LONGEST_HEADER = 100_000_000  # bytes; of the safetensors format
_LONGEST_JSON = 100_000_000  # bytes; the index of the largest public model has 10 million
_DAMAGED = "the file is damaged; copy or download it again."


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the header of its file describes it.

    Attributes:
        dtype: Such as ``BF16``.
        shape: Its sizes.
    """

    dtype: str
    shape: tuple[int, ...]


def require_own_files(folder: Path) -> None:
    """Refuse links out of a folder, or in a circle, among the files that are read.

    The hub's own cache is the exception: its snapshots are links to the blobs beside them.

    Raises:
        CheckpointError: Names the first one.
    """
    home = folder.resolve()
    homes = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    for file in sorted(f for pattern in _READ for f in folder.glob(pattern) if f.is_symlink()):
        try:
            target = file.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            reason = "leads nowhere" if isinstance(error, FileNotFoundError) else "is a link in a circle"
            raise CheckpointError(f"{visible(file)} {reason}; put the file itself into the folder.") from None
        if not any(target.is_relative_to(each) for each in homes):
            raise CheckpointError(
                f"{visible(file)} is a link out of its folder, to {visible(target)}; only files of "
                f"the folder are "
                "read. Put the file itself there."
            )


def require_weights(folder: Path, name: str = _WHOLE) -> None:
    """Refuse a folder without whole safetensors files.

    Raises:
        CheckpointError: There are none, only pickles, or one is missing, truncated or not what its header
        says.
    """
    weights = weight_files(folder, name)
    if not weights:
        pickles = sorted(p.name for glob in _PICKLES for p in folder.glob(glob))
        if pickles:
            raise CheckpointError(
                f"{folder.absolute()} holds only pickle weights ({', '.join(pickles[:3])}), which can run "
                "code when opened; convert them: "
                "AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder)."
            )
        raise CheckpointError(f"No {name} in {folder.absolute()}.")
    stored_tensors(weights)


def weight_files(folder: Path, name: str = _WHOLE) -> list[Path]:
    """The weight files of a folder that are loaded: one, or those that the index names.

    Raises:
        CheckpointError: The index is malformed, or names files that are missing or outside of the folder.
    """
    index = folder / _INDEX
    whole = folder / name
    if name != _WHOLE or whole.is_file() or not index.is_file():
        return [whole] if whole.is_file() else []
    shards = _shards(index)
    outside = [s for s in shards if not _inside(folder, s)]
    if outside:
        raise CheckpointError(
            f"{index} names a file outside of its folder ({visible(outside[0])}); only files of "
            f"the folder are read."
        )
    missing = [s for s in shards if not (folder / s).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder.absolute()} lacks {len(missing)} of {len(shards)} weight files "
            f"({visible(', '.join(missing[:3]))}); copy or download them again."
        )
    return [folder / s for s in shards]


def stored_tensors(files: Sequence[Path]) -> dict[str, StoredTensor]:
    """Every tensor of safetensors files by name, from their headers alone.

    Raises:
        CheckpointError: A file is truncated or damaged, or two files have one tensor.
    """
    found: dict[str, StoredTensor] = {}
    for file in files:
        for name, tensor in _header(file).items():
            if name in found:
                raise CheckpointError(
                    f"{file} has '{visible(name)}', which another file of its folder has as well; {_DAMAGED}"
                )
            found[name] = tensor
    return found


def described(folder: Path) -> list[Path]:
    """The files beside the weights that decide what a model computes."""
    names = ("config.json", "adapter_config.json", *TOKENIZER_FILES, *_TOKENIZER_EXTRAS)
    return [folder / n for n in names if (folder / n).is_file()]


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: It cannot be read, is too large, or is another kind of value.
    """
    try:
        if (size := file.stat().st_size) > _LONGEST_JSON:
            raise CheckpointError(f"{file} has {size:,} bytes; at most {_LONGEST_JSON:,} are read.")
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON: {visible(error)}.") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} holds {type(value).__name__}; a JSON object is expected.")
    return value


def _inside(folder: Path, name: str) -> bool:
    try:
        file = folder / name
        plain = (
            file.parent == folder and file.suffix == ".safetensors"
        )  # its link is looked at by require_own_files
        return plain or file.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop, or a NUL
        return False


def _shards(index: Path) -> list[str]:
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(n, str) for n in shards.values()):
        raise CheckpointError(f"{index} has no weight_map of tensors to files; copy or download it again.")
    return sorted(set(shards.values()))


def _header(file: Path) -> dict[str, StoredTensor]:
    _require_whole(file)
    try:
        with safe_open(file, framework="np") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            return {
                name: StoredTensor(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()
            }
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        reason = visible(str(error).removeprefix("Error while deserializing header: "))
        raise CheckpointError(
            f"{file}: its header is not that of a safetensors file ({reason}); {_DAMAGED}"
        ) from None


def _require_whole(file: Path) -> None:
    """Compare a safetensors file's size with what its header promises (8 bytes of length, JSON, data)."""
    actual = os.stat(file).st_size
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if actual < 8 or size > actual - 8:
            raise CheckpointError(
                f"{file}: {actual} bytes, but its header alone needs {size + 8}; {_DAMAGED}"
            )
        if size > _LONGEST_HEADER:
            raise CheckpointError(
                f"{file}: its header claims {size:,} bytes; at most {_LONGEST_HEADER:,} are "
                f"allowed; {_DAMAGED}"
            )
        try:
            header = json.loads(stream.read(size))
            end = max((v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"), default=0)
            promised = 8 + size + end
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            raise CheckpointError(
                f"{file}: its header is not that of a safetensors file; {_DAMAGED}"
            ) from None
    if actual != promised:
        raise CheckpointError(f"{file}: {actual} bytes, but its header promises {promised}; {_DAMAGED}")
