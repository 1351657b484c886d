"""Which weights: a folder, a hub id or a LoRA adapter; found, checked and fingerprinted without torch.

Only safetensors are read. A pickle can run code when it is opened, and a truncated safetensors file is
detected from its header before anything is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from interp.data.characters import visible
from interp.errors import CheckpointError, nearest
from interp.model.checkpoint_names import SHIPPED, label_of, name_of

__all__ = ["Checkpoint", "resolve_checkpoint"]

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?$")
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "merges.txt")
_TOKENIZER_EXTRAS = ("special_tokens_map.json", "added_tokens.json")
_ADAPTER = "adapter_model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth")


@dataclass(frozen=True)
class Checkpoint:
    """Weights, tokenizer and configuration on disk.

    Attributes:
        spec: What the user wrote.
        path: Folder with config.json and *.safetensors.
        revision: Hub commit or branch, if it came from a hub.
        adapter: Folder of a LoRA adapter to put on top, if any.
        label: The name that the user gave it, if any.
    """

    spec: str
    path: Path
    revision: str | None = None
    adapter: Path | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """Its name in every table, file and figure: the user's, or the last part of what the user wrote.

        The part before is added where the last one says little, such as ``final`` or ``checkpoint-600``.
        """
        return self.label or name_of(self.spec)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The parsed config.json."""
        return _read_json(self.path / "config.json")

    @cached_property
    def tokenizer_config(self) -> dict[str, Any]:
        """The parsed tokenizer_config.json; empty if there is none."""
        file = self.path / "tokenizer_config.json"
        return _read_json(file) if file.is_file() else {}

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all weight files."""
        return sum(f.stat().st_size for f in _weight_files(self.path))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every weight file, the configuration and the tokenizer (and the adapter's)."""
        parts = _described(self.path) + _weight_files(self.path)
        if self.adapter:
            parts += [*_described(self.adapter), self.adapter / _ADAPTER]
        with ThreadPoolExecutor(max_workers=4) as pool:
            digests = list(pool.map(_file_digest, parts))
        lines = [f"{f.name} {d}" for f, d in zip(parts, digests, strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def resolve_checkpoint(spec: str) -> Checkpoint:
    """Find a checkpoint and check that its files are whole.

    Args:
        spec: A local folder (with weights, or a LoRA adapter), a hub id such as ``Qwen/Qwen2.5-7B@main``, or
            a checkpoint that comes with the package (``organism:final``, ``organism:early``). ``NAME=``
            before it names it.

    Raises:
        CheckpointError: Nothing is there, files are missing, truncated, or only pickles.
    """
    label, spec = label_of(spec)
    folder, revision = _find(spec)
    if (folder / "adapter_config.json").is_file():
        return replace(_resolve_adapter(spec, folder), label=label)
    _check_folder(folder)
    return Checkpoint(spec, folder, revision, label=label)


def _find(spec: str) -> tuple[Path, str | None]:
    if spec.startswith(SHIPPED):
        return _shipped(spec), None
    folder = Path(os.path.expanduser(spec))
    if os.path.isdir(folder):  # unlike Path.is_dir, it does not raise on names that are too long
        return folder, None
    if os.path.exists(folder):
        raise CheckpointError(
            f"'{spec}' is a file; a checkpoint is a folder with config.json and *.safetensors."
        )
    if _HUB_ID.match(spec):
        return _download(spec, folder)
    hint = nearest(spec, [SHIPPED + name for name in _shipped_names()])
    raise CheckpointError(
        f"No checkpoint '{visible(spec)}'.{hint} Looked for a folder at {visible(folder.absolute())}, and it "
        "is not a hub id (org/name[@revision])."
    )


def _shipped(spec: str) -> Path:
    """A checkpoint that comes with the package."""
    names, name = _shipped_names(), spec.removeprefix(SHIPPED)
    if name not in names:
        raise CheckpointError(
            f"No shipped checkpoint '{visible(spec)}'.{nearest(name, names)} Choose from: "
            f"{', '.join(SHIPPED + n for n in names) or 'none'}."
        )
    return _shipped_folder() / name


def _shipped_folder() -> Path:
    return Path(str(files("training"))) / "checkpoints"


def _shipped_names() -> list[str]:
    return sorted(folder.name for folder in _shipped_folder().glob("*") if folder.is_dir())


def _download(spec: str, looked_at: Path) -> tuple[Path, str | None]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    repository, _, revision = spec.partition("@")
    where = f"No folder at {looked_at.absolute()}, and the hub"
    try:
        path = Path(snapshot_download(repository, revision=revision or None, allow_patterns=_HUB_FILES))
    except GatedRepoError:
        raise CheckpointError(
            f"'{repository}' is gated: accept its license at https://huggingface.co/{repository}, then 'hf "
            "auth login'."
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(
            f"{where} has no public '{repository}'. Check the name, or 'hf auth login'."
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{where} could not give '{spec}': {reason}") from None
    return path, revision or path.name


def _resolve_adapter(spec: str, folder: Path) -> Checkpoint:
    adapter = _read_json(folder / "adapter_config.json")
    base, kind = adapter.get("base_model_name_or_path"), adapter.get("peft_type")
    if not base or not isinstance(base, str):
        raise CheckpointError(
            f"{folder / 'adapter_config.json'} names no base_model_name_or_path; add the base's path."
        )
    if kind != "LORA":
        raise CheckpointError(
            f"{folder} is an adapter of type {kind}; only LORA is supported, since it leaves the model's "
            "sites in place."
        )
    _check_weights(folder, _ADAPTER)
    local = folder / base
    if (local / "adapter_config.json").is_file():
        raise CheckpointError(
            f"{folder} is a LoRA adapter whose base '{base}' is an adapter too; merge that one into its own "
            "base first."
        )
    revision = adapter.get("revision")
    try:
        parent = resolve_checkpoint(
            str(local)
            if local.is_dir()
            else f"{base}@{revision}"
            if revision and not Path(base).is_dir()
            else base
        )
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder} is a LoRA adapter whose base '{base}' cannot be used: {error}"
        ) from None
    return Checkpoint(spec, parent.path, parent.revision, folder)


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        held = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise CheckpointError(
            f"No config.json in {folder.absolute()} (it holds: {held}); a folder written by save_pretrained "
            "is expected."
        )
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise CheckpointError(
            f"No tokenizer in {folder.absolute()}: one of {', '.join(_TOKENIZER_FILES[:3])} is expected."
        )
    _check_weights(folder, "*.safetensors")


def _check_weights(folder: Path, pattern: str) -> None:
    weights = _weight_files(folder, pattern)
    if not weights:
        pickles = sorted(p.name for glob in _PICKLES for p in folder.glob(glob))
        if pickles:
            raise CheckpointError(
                f"{folder.absolute()} holds only pickle weights ({', '.join(pickles[:3])}), which can run "
                "code when opened; convert them: "
                "AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder)."
            )
        raise CheckpointError(f"No {pattern} in {folder.absolute()}.")
    for file in weights:
        _check_whole(file)


def _weight_files(folder: Path, pattern: str = "*.safetensors") -> list[Path]:
    index = folder / "model.safetensors.index.json"
    whole = folder / "model.safetensors"  # where there are both, this is what is loaded
    if pattern == "*.safetensors" and index.is_file() and not whole.is_file():
        shards = _shards(index)
        missing = [s for s in shards if not (folder / s).is_file()]
        if missing:
            raise CheckpointError(
                f"{folder.absolute()} lacks {len(missing)} of {len(shards)} weight files "
                f"({', '.join(missing[:3])}); copy or download them again."
            )
        return [folder / s for s in shards]
    return sorted(folder.glob(pattern))


def _shards(index: Path) -> list[str]:
    shards = _read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise CheckpointError(f"{index} has no weight_map of tensors to files; copy or download it again.")
    return sorted(set(shards.values()))


def _check_whole(file: Path) -> None:
    """Compare a safetensors file's size with what its header promises (8 bytes of length, JSON, data)."""
    actual = file.stat().st_size
    advice = "the file is damaged; copy or download it again."
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if actual < 8 or size > actual - 8:
            raise CheckpointError(f"{file}: {actual} bytes, but its header alone needs {size + 8}; {advice}")
        try:
            header = json.loads(stream.read(size))
            end = max((v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            raise CheckpointError(f"{file}: its header is not that of a safetensors file; {advice}") from None
    if actual != 8 + size + end:
        raise CheckpointError(f"{file}: {actual} bytes, but its header promises {8 + size + end}; {advice}")


def _described(folder: Path) -> list[Path]:
    """The files beside the weights that decide what a model computes."""
    names = ("config.json", "adapter_config.json", *_TOKENIZER_FILES, *_TOKENIZER_EXTRAS)
    return [folder / n for n in names if (folder / n).is_file()]


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON: {error}.") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} holds {type(value).__name__}; a JSON object is expected.")
    return value
