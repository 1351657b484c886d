"""A GGUF file as a folder of safetensors: dequantized once, kept under the file's digest.

transformers reads it (its own mapping of names and its own dequantization); what is written holds the same
numbers.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    modeling_gguf_pytorch_utils,
)

from interp.errors import CheckpointError, InterpError
from interp.files import file_digest, refusal, require_room
from interp.model.checkpoints import Checkpoint
from interp.model.gguf_header import read_gguf_header
from interp.model.quiet import first_line, quiet_transformers

__all__ = ["convert_gguf", "dequantized"]

Progress = Callable[[str, int, int], None]
_MARK = "dequantized.json"
_KEPT = 86_400  # seconds after which an unfinished folder is nobody's


def dequantized(checkpoint: Checkpoint, progress: Progress | None = None) -> Checkpoint:
    """Make the folder of a checkpoint that is a GGUF file, unless it is there; any other is returned as it
    is.

    Raises:
        CheckpointError: transformers cannot read the file, or does not use all of it.
        NoSpaceError: There is no room for it.
    """
    if checkpoint.gguf is not None and not _is_whole(checkpoint.path):
        convert_gguf(checkpoint.gguf, checkpoint.path, torch.float32, progress)
    return checkpoint


def convert_gguf(
    file: Path, folder: Path, dtype: torch.dtype = torch.float32, progress: Progress | None = None
) -> None:
    """Write weights, configuration and tokenizer of a GGUF file as `save_pretrained` does, whole or not at
    all.

    Args:
        file: The GGUF file.
        folder: What becomes of it; replaced if it is there.
        dtype: Of the weights; float32 holds every dequantized value exactly.
        progress: Called with a label, tensors done and tensors in all.

    Raises:
        CheckpointError: transformers cannot read the file, or does not use all of it.
        NoSpaceError: There is no room for it.
    """
    header = read_gguf_header(file)
    require_room(folder.parent, header.n_elements * dtype.itemsize + file.stat().st_size // 4)
    _sweep(folder)
    temporary = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    label = f"Dequantizing {file.name} ({header.quantization})"
    try:
        temporary.mkdir()
        with quiet_transformers(), _told(progress, label):
            model, tokenizer = _read(file)
            _save(model.to(dtype), temporary)
            tokenizer.save_pretrained(temporary)
        digests = {each.name: file_digest(each) for each in sorted(temporary.iterdir())}
        mark = {"source": file.name, "quantization": header.quantization, "sha256": digests}
        for written in temporary.iterdir():
            written.chmod(0o644)  # safetensors writes files that only their owner can read
        (temporary / _MARK).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except InterpError:
        raise
    except OSError as error:
        raise refusal(folder, error) from None
    except Exception as error:  # the readers raise a dozen kinds; the user needs the file and the reason
        raise CheckpointError(
            f"{file} cannot be read by transformers: {first_line(error)}. Convert the model it was "
            f"made from, or use "
            "another file."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _told(progress: Progress | None, label: str) -> Iterator[None]:
    """Tell our progress, tensor by tensor, in place of the bar of transformers' reader, which nothing else
    turns off."""
    reader: Any = modeling_gguf_pytorch_utils
    theirs = reader.tqdm

    def ours(tensors: Sequence[Any], **bar: Any) -> Iterator[Any]:
        for done, tensor in enumerate(tensors):
            if progress is not None:
                progress(label, done, len(tensors))
            yield tensor
        if progress is not None:
            progress(label, len(tensors), len(tensors))

    reader.tqdm = ours
    try:
        yield
    finally:
        reader.tqdm = theirs


def _read(file: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a GGUF file, after its header and its configuration were compared."""
    options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(file.parent, **options)
    _require_same(file, config)
    unpacked = GgufConfig(dequantize=True)  # else kernels are downloaded where they can be
    opened: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, dtype=torch.float32, quantization_config=unpacked, output_loading_info=True, **options
    )
    model, report = opened
    if lacking := sorted(report["missing_keys"]):
        raise CheckpointError(
            f"{file} lacks {len(lacking)} of the model's tensors, such as {', '.join(lacking[:3])}."
        )
    return model, AutoTokenizer.from_pretrained(file.parent, **options)


def _require_same(file: Path, config: Any) -> None:
    """What transformers skips is not told by it: so count the numbers of the file and those of the model."""
    header = read_gguf_header(file)
    layers = getattr(config, "num_hidden_layers", None)
    if layers != header.n_layers:
        raise CheckpointError(
            f"{file} says that its model has {layers} layers, but has tensors of "
            f"{header.n_layers}; copy or download it "
            "again."
        )
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)
    skeleton.tie_weights()
    needed = sum(parameter.numel() for parameter in skeleton.parameters())
    if needed != header.n_elements:
        raise CheckpointError(
            f"{file} has {header.n_elements:,} numbers in its tensors, but transformers' "
            f"'{config.model_type}' of this "
            f"configuration has {needed:,}: some would be left out or made up. Use the model as safetensors."
        )


def _save(model: Any, folder: Path) -> None:
    """Save a model that transformers would call quantized: the same tensors in a fresh one."""
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = next(model.parameters()).dtype
    with torch.device("meta"):
        fresh = type(model)(config)
    fresh.load_state_dict(model.state_dict(), assign=True)
    fresh.tie_weights()
    fresh.generation_config = model.generation_config
    fresh.save_pretrained(folder)


def _is_whole(folder: Path) -> bool:
    """Whether a folder holds all that was written, to the bit: a cache that is damaged is made again."""
    try:
        digests = json.loads((folder / _MARK).read_text(encoding="utf-8"))["sha256"]
        return bool(digests) and all(file_digest(folder / name) == value for name, value in digests.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _sweep(folder: Path) -> None:
    """Remove what killed conversions left of this folder."""
    for leftover in folder.parent.glob(f".{folder.name}.*.tmp"):
        if time.time() - leftover.stat().st_mtime > _KEPT or not _lives(leftover.name.split(".")[-2]):
            shutil.rmtree(leftover, ignore_errors=True)


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
