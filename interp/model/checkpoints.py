"""Which weights: a folder, a hub id or a LoRA adapter; found, checked and fingerprinted without torch.

What is asked of the files themselves is in `interp.model.weight_files`.
"""

from __future__ import annotations

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.errors import CheckpointError, nearest
from interp.files import cache_folder, file_digest
from interp.manifest import require_sizes
from interp.model.checkpoint_names import SHIPPED, label_of, name_of
from interp.model.gguf_header import read_gguf_header
from interp.model.weight_files import (
    ADAPTER_WEIGHTS,
    TOKENIZER_FILES,
    StoredTensor,
    described,
    has_tokenizer,
    read_json,
    require_own_files,
    require_weights,
    stored_tensors,
    weight_files,
)

__all__ = ["Checkpoint", "resolve_checkpoint"]

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?$")
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


@dataclass(frozen=True)
class Checkpoint:
    """Weights, tokenizer and configuration on disk.

    Attributes:
        spec: What the user wrote.
        path: Folder with config.json and *.safetensors.
        revision: Hub commit or branch, if it came from a hub.
        adapter: Folder of a LoRA adapter to put on top, if any.
        label: The name that the user gave it, if any.
        gguf: The GGUF file that the folder is made of, see `interp.model.dequantize`; the folder may not
        be there yet.
    """

    spec: str
    path: Path
    revision: str | None = None
    adapter: Path | None = None
    label: str = ""
    gguf: Path | None = None

    @property
    def name(self) -> str:
        """Its name in every table, file and figure: the user's, or the last part of what the user wrote.

        The part before is added where the last one says little, such as ``final`` or ``checkpoint-600``.
        """
        return self.label or name_of(self.spec)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The parsed config.json."""
        return read_json(self.path / "config.json")

    @cached_property
    def tokenizer_config(self) -> dict[str, Any]:
        """The parsed tokenizer_config.json; empty if there is none."""
        file = self.tokenizer_folder / "tokenizer_config.json"
        return read_json(file) if file.is_file() else {}

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all weight files."""
        return sum(f.stat().st_size for f in weight_files(self.path))

    @cached_property
    def tensors(self) -> dict[str, StoredTensor]:
        """Every tensor of the weight files, from their headers."""
        return stored_tensors(weight_files(self.path))

    @cached_property
    def adapter_config(self) -> dict[str, Any]:
        """The adapter's parsed adapter_config.json; empty if there is none."""
        return read_json(self.adapter / "adapter_config.json") if self.adapter else {}

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer is: with the adapter if it brings one, since it may have tokens of its own."""
        return self.adapter if self.adapter and has_tokenizer(self.adapter) else self.path

    @property
    def note(self) -> str:
        """What was done to the weights before they were read, such as ``dequantized from Q4_K_M``."""
        return f"dequantized from {read_gguf_header(self.gguf).quantization}" if self.gguf else ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every weight file, the configuration and the tokenizer (and the adapter's).

        Of a GGUF file, which holds all three, over the file. Tokens that end a text count where they are
        not those of
        config.json.
        """
        parts = [self.gguf] if self.gguf else described(self.path) + weight_files(self.path)
        if self.adapter:
            parts += [*described(self.adapter), self.adapter / ADAPTER_WEIGHTS]
        with ThreadPoolExecutor(max_workers=4) as pool:
            digests = list(pool.map(file_digest, parts))
        names = ["model.gguf" if file == self.gguf else file.name for file in parts]
        lines = [f"{name} {digest}" for name, digest in zip(names, digests, strict=True)]
        if not self.gguf and (ends := self._own_ends()):
            lines.append(ends)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _own_ends(self) -> str:
        """The end tokens of generation_config.json as text; empty where they are those of config.json."""
        file = self.path / "generation_config.json"
        try:
            ends = read_json(file).get("eos_token_id") if file.is_file() else None
            same = ends is None or ends == self.config.get("eos_token_id")
        except CheckpointError:  # whoever opens it is told; its bytes are part of the fingerprint already
            return ""
        return "" if same else f"generation ends at {ends}"


def resolve_checkpoint(spec: str, cache: Path | None = None) -> Checkpoint:
    """Find a checkpoint and check that its files are whole.

    Args:
        spec: A local folder (with weights, or a LoRA adapter), a GGUF file or a folder with one, a hub id
        such as
            ``Qwen/Qwen2.5-7B@main``, or a checkpoint that comes with the package (``organism:final``,
            ``organism:early``). ``NAME=`` before it names it.
        cache: Where a GGUF file is dequantized to; `interp.files.cache_folder` by default.

    Raises:
        CheckpointError: Nothing is there, files are missing, truncated, or only pickles.
    """
    label, spec = label_of(spec)
    folder, revision = _find(spec)
    if folder.is_file():
        return _of_gguf(spec, folder, cache, label)
    require_own_files(folder)
    if (folder / "adapter_config.json").is_file():
        return replace(_resolve_adapter(spec, folder, cache), label=label)
    if not (folder / "config.json").is_file() and (quantized := sorted(folder.glob("*.gguf"))):
        if len(quantized) > 1:
            raise CheckpointError(
                f"{folder.absolute()} holds {len(quantized)} GGUF files "
                f"({', '.join(f.name for f in quantized[:3])}); "
                "name the one that is meant."
            )
        return _of_gguf(spec, quantized[0], cache, label)
    _check_folder(folder)
    return Checkpoint(spec, folder, revision, label=label)


def _of_gguf(spec: str, file: Path, cache: Path | None, label: str) -> Checkpoint:
    read_gguf_header(file)  # refuses a damaged one
    folder = (cache or cache_folder()) / "gguf" / file_digest(file)
    return Checkpoint(spec, folder, label=label, gguf=file)


def _find(spec: str) -> tuple[Path, str | None]:
    if spec.startswith(SHIPPED):
        return _shipped(spec), None
    folder = Path(os.path.expanduser(spec))
    if os.path.isdir(folder):  # unlike Path.is_dir, it does not raise on names that are too long
        return folder, None
    if os.path.isfile(folder) and folder.suffix.lower() == ".gguf":
        return folder, None
    if os.path.exists(folder):
        raise CheckpointError(
            f"'{visible(spec)}' is a file; a checkpoint is a folder with config.json and "
            f"*.safetensors, or a .gguf file."
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
            f"No shipped checkpoint '{visible(spec)}'.{nearest(name, names, SHIPPED)} Choose from: "
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


def _resolve_adapter(spec: str, folder: Path, cache: Path | None) -> Checkpoint:
    adapter = read_json(folder / "adapter_config.json")
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
    require_weights(folder, ADAPTER_WEIGHTS)
    require_sizes(folder)
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
            if revision and not Path(base).exists()
            else base,
            cache,
        )
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder} is a LoRA adapter whose base '{base}' cannot be used: {error}"
        ) from None
    return Checkpoint(spec, parent.path, parent.revision, folder, gguf=parent.gguf)


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        held = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise CheckpointError(
            f"No config.json in {folder.absolute()} (it holds: {held}); a folder written by save_pretrained "
            "is expected."
        )
    if not has_tokenizer(folder):
        raise CheckpointError(
            f"No tokenizer in {folder.absolute()}: one of {', '.join(TOKENIZER_FILES[:3])} is expected."
        )
    require_weights(folder)
    require_sizes(folder)
    read_json(folder / "config.json")
