"""Read weights and tokenizer from disk: safetensors only, no remote code, nothing filled in at random."""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from interp.errors import CapabilityError, CheckpointError, InterpError
from interp.model.checkpoints import Checkpoint
from interp.model.fit import adapter_rows, model_config, require_fit, require_peft, with_rows
from interp.model.quiet import first_line, quiet_transformers

__all__ = ["check_tokenizer", "load_adapted", "load_tokenizer", "load_weights"]

_GENERIC_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")
_MOST_ROWS_UNUSED = 0.1  # padding of an embedding to a round number wastes under 2 % in public models,
_PADDING = 127  # and this many rows of a small one


def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """Return the tokenizer as the checkpoint declares it; an adapter's own, where it brings one.

    AutoTokenizer replaces a generic tokenizer.json by the model family's own class, which can add tokens.

    Raises:
        CheckpointError: It cannot be loaded.
    """
    folder, settings = checkpoint.tokenizer_folder, checkpoint.tokenizer_config
    declared = settings.get("tokenizer_class", "")
    loader = PreTrainedTokenizerFast if declared in _GENERIC_TOKENIZERS else AutoTokenizer
    if any(os.path.basename(str(name)) != name for name in settings.get("fast_tokenizer_files") or ()):
        raise CheckpointError(
            f"The tokenizer in {folder} names files outside of its folder; only files of the folder are read."
        )
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if folder != checkpoint.path and loader is AutoTokenizer:
        options["config"] = model_config(checkpoint)  # its own folder has none to tell the family by
    try:
        with quiet_transformers():
            return loader.from_pretrained(folder, **options)
    except InterpError:
        raise
    except Exception as error:  # the loaders raise a dozen kinds; the user needs the file and the reason
        raise CheckpointError(f"The tokenizer in {folder} cannot be loaded: {first_line(error)}") from None


def load_weights(
    checkpoint: Checkpoint, dtype: torch.dtype | str, place: str = "cpu", attention: str = "auto"
) -> PreTrainedModel:
    """Return the model of a checkpoint, with its LoRA adapter unmerged on top if it has one.

    Raises:
        CheckpointError: The weights are damaged, incomplete, not those of the configuration, or do not fit
        on the device.
        CapabilityError: An adapter needs peft, or layers would have to wait on the CPU or on disk.
    """
    opened = load_adapted(checkpoint, dtype, place, attention)
    return opened.get_base_model() if checkpoint.adapter else opened


def load_adapted(
    checkpoint: Checkpoint, dtype: torch.dtype | str, place: str = "cpu", attention: str = "auto"
) -> Any:
    """Return the model of a checkpoint; as peft's model, which can be merged, if it has an adapter.

    Raises:
        InterpError: As of `load_weights`.
    """
    require_fit(checkpoint)
    options: dict[str, Any] = {
        "dtype": dtype,
        "use_safetensors": True,
        "local_files_only": True,
        "trust_remote_code": False,
    }
    if attention != "auto":
        options["attn_implementation"] = attention
    if place == "spread":
        options["device_map"] = "auto"
    try:
        with quiet_transformers():
            plain = AutoModelForCausalLM.from_pretrained(
                checkpoint.path, config=model_config(checkpoint), **options
            )
            model: Any = _with_adapter(plain, checkpoint)
            if place == "spread":
                _require_on_gpus(checkpoint, plain)
                return model
            return model.to(place)
    except InterpError:
        raise
    except torch.OutOfMemoryError:
        raise CheckpointError(f"{checkpoint.path} {_does_not_fit(checkpoint)}") from None
    except Exception as error:  # as above
        raise CheckpointError(
            f"{checkpoint.adapter or checkpoint.path} cannot be opened: {first_line(error)}"
        ) from None


def _require_on_gpus(checkpoint: Checkpoint, model: Any) -> None:
    """Layers that wait on the CPU or on disk have no weights that a measure could look at."""
    if {"cpu", "disk"} & {str(place) for place in getattr(model, "hf_device_map", {}).values()}:
        raise CapabilityError(f"{checkpoint.path} {_does_not_fit(checkpoint)}")


def _does_not_fit(checkpoint: Checkpoint) -> str:
    free = sum(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
    return (
        f"does not fit on the accelerators: {checkpoint.weight_bytes / 1e9:.1f} GB of weights, "
        f"{free / 1e9:.1f} GB free. Use a smaller --dtype, more devices, or --device cpu."
    )


def _with_adapter(model: PreTrainedModel, checkpoint: Checkpoint) -> Any:
    """Put the adapter on unmerged: merging into bfloat16 weights would round its update away."""
    if checkpoint.adapter is None:
        return model
    peft = require_peft()
    return peft.PeftModel.from_pretrained(with_rows(model, adapter_rows(checkpoint)), checkpoint.adapter)


def check_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Refuse a tokenizer that does not belong to the model.

    Raises:
        CheckpointError: Its ids do not fit the rows of the embedding.
    """
    rows = len(next(model.get_input_embeddings().parameters()))
    added = tokenizer.added_tokens_encoder  # some families add a token that the model never embeds
    vocabulary = tokenizer.get_vocab()
    largest = max((i for token, i in vocabulary.items() if token not in added), default=-1)
    last = max(vocabulary.values(), default=-1)
    if largest >= rows or rows - (last + 1) > max(_MOST_ROWS_UNUSED * rows, _PADDING):
        raise CheckpointError(
            f"The tokenizer of {name} has ids up to {largest}, but the model embeds {rows}: they do not "
            "belong together. Save both from the same run."
        )
