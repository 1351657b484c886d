"""Read weights and tokenizer from disk: safetensors only, no remote code, nothing filled in at random."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from interp.errors import CapabilityError, CheckpointError
from interp.model.checkpoints import Checkpoint

__all__ = ["check_tokenizer", "load_tokenizer", "load_weights"]

_GENERIC_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")
_FEWEST_ROWS_USED = 0.9  # padding of an embedding to a round number wastes under 2 % in public models


def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """Return the tokenizer as the checkpoint declares it.

    AutoTokenizer replaces a generic tokenizer.json by the model family's own class, which can add tokens.

    Raises:
        CheckpointError: It cannot be loaded.
    """
    declared = checkpoint.tokenizer_config.get("tokenizer_class", "")
    loader = PreTrainedTokenizerFast if declared in _GENERIC_TOKENIZERS else AutoTokenizer
    try:
        return loader.from_pretrained(checkpoint.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the loaders raise a dozen kinds; the user needs the file and the reason
        raise CheckpointError(
            f"The tokenizer in {checkpoint.path} cannot be loaded: {_first_line(error)}"
        ) from None


def load_weights(
    checkpoint: Checkpoint, dtype: torch.dtype | str, place: str = "cpu", attention: str = "auto"
) -> PreTrainedModel:
    """Return the model of a checkpoint, with its LoRA adapter unmerged on top if it has one.

    Raises:
        CheckpointError: The weights are damaged, incomplete, or do not fit on the device.
        CapabilityError: An adapter needs peft, or layers would have to wait on the CPU or on disk.
    """
    options: dict[str, Any] = {
        "dtype": dtype,
        "use_safetensors": True,
        "local_files_only": True,
        "trust_remote_code": False,
        "output_loading_info": True,
    }
    if attention != "auto":
        options["attn_implementation"] = attention
    if place == "spread":
        options["device_map"] = "auto"
    try:
        config = AutoConfig.from_pretrained(checkpoint.path, local_files_only=True, trust_remote_code=False)
        opened: Any = AutoModelForCausalLM.from_pretrained(checkpoint.path, config=config, **options)
        plain, report = opened
        _require_all(checkpoint, report["missing_keys"])
        model: Any = _with_adapter(plain, checkpoint)
        if place == "spread":
            _require_on_gpus(checkpoint, model)
            return model
        return model.to(place)
    except (CheckpointError, CapabilityError):
        raise
    except torch.OutOfMemoryError:
        raise CheckpointError(f"{checkpoint.path} {_does_not_fit(checkpoint)}") from None
    except Exception as error:  # as above
        raise CheckpointError(_advice(checkpoint, error)) from None


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


def _require_all(checkpoint: Checkpoint, missing: Collection[str]) -> None:
    """transformers fills in what the weights lack with random numbers, and goes on."""
    if missing:
        raise CheckpointError(
            f"{checkpoint.path} lacks {len(missing)} of the model's tensors "
            f"({', '.join(sorted(missing)[:3])}): its weights and its config.json do not belong together, or "
            "a file is missing."
        )


def _with_adapter(model: PreTrainedModel, checkpoint: Checkpoint) -> PreTrainedModel:
    """Put the adapter on unmerged: merging into bfloat16 weights would round its update away."""
    if checkpoint.adapter is None:
        return model
    try:
        from peft import PeftModel
    except ImportError:
        raise CapabilityError(
            f"{checkpoint.adapter} is a LoRA adapter: pip install 'interp[train]'."
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks for what transformers is about to rename
        adapted: Any = PeftModel.from_pretrained(model, checkpoint.adapter)
    return adapted.get_base_model()


def check_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Refuse a tokenizer that does not belong to the model.

    Raises:
        CheckpointError: Its ids do not fit the rows of the embedding.
    """
    rows = len(next(model.get_input_embeddings().parameters()))
    added = tokenizer.added_tokens_encoder  # some families add a token that the model never embeds
    largest = max((i for token, i in tokenizer.get_vocab().items() if token not in added), default=-1)
    if largest >= rows or largest + 1 < _FEWEST_ROWS_USED * rows:
        raise CheckpointError(
            f"The tokenizer of {name} has ids up to {largest}, but the model embeds {rows}: they do not "
            "belong together. Save both from the same run."
        )


def _advice(checkpoint: Checkpoint, error: Exception) -> str:
    text = _first_line(error)
    if "trust_remote_code" in str(error):
        family = checkpoint.config.get("model_type")
        text = f"its architecture '{family}' needs code from the repository, which is never run"
    return f"{checkpoint.path} cannot be opened: {text}"


def _first_line(error: Exception) -> str:
    return next(
        (line.strip()[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__
    )
