"""Open a checkpoint: model, tokenizer, dtype and device policy, and a self-check before anything expensive."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, field, replace
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

from interp.errors import CapabilityError, CheckpointError, ConfigError
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.model.selfcheck import check_sites
from interp.model.sites import Architecture, locate

__all__ = ["LoadedModel", "adopt_model", "open_checkpoint"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_GENERIC_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")
_FEWEST_ROWS_USED = 0.9  # padding of an embedding to a round number wastes under 2 % in public models
_HEADROOM = 1.3  # weights + activations of a measuring pass, relative to the weights alone


@dataclass(frozen=True)
class LoadedModel:
    """An opened checkpoint, in eval mode with frozen parameters.

    Attributes:
        checkpoint: Where it comes from; None for a model made in memory.
        model: The unmodified Hugging Face model.
        tokenizer: Its tokenizer.
        architecture: Its sites.
        requested: The numerics that were asked for.
    """

    checkpoint: Checkpoint | None
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    architecture: Architecture
    requested: dict[str, str] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where input ids go."""
        return next(self.model.get_input_embeddings().parameters()).device

    @property
    def context(self) -> int:
        """Longest input in tokens."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 2**31))

    @property
    def n_embeddings(self) -> int:
        """Token ids that the model embeds."""
        return len(next(self.model.get_input_embeddings().parameters()))

    @property
    def pad_id(self) -> int:
        """What fills a batch: masked everywhere, so any embedded id will do."""
        pad = self.tokenizer.pad_token_id
        return pad if pad is not None and pad < self.n_embeddings else 0

    def describe(self) -> dict[str, Any]:
        """What provenance records of the model as it runs."""
        return {
            "family": self.architecture.family,
            "device": str(self.device),
            "device_name": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attention": self.model.config._attn_implementation,
        }


def open_checkpoint(
    spec: str | Checkpoint, *, dtype: str = "auto", device: str = "auto", attention: str = "auto"
) -> LoadedModel:
    """Open a checkpoint for measuring.

    Args:
        spec: Folder, hub id[@revision] or LoRA adapter folder, or an already resolved checkpoint.
        dtype: auto (as saved on an accelerator, float32 on a CPU), float32, bfloat16, float16.
        device: auto (one GPU if the weights fit, else all of them; the CPU where there is none), or a torch device.
        attention: auto, sdpa or eager.

    Raises:
        CheckpointError: Files are missing, damaged, or model and tokenizer do not belong together.
        CapabilityError: The architecture lacks the sites, or a site does not do what it should.
    """
    checkpoint = resolve_checkpoint(spec) if isinstance(spec, str) else spec
    place = _device(device, _bytes_needed(checkpoint, dtype))
    kind = _dtype(dtype, place)
    tokenizer = _tokenizer(checkpoint)
    model = _model(checkpoint, kind, place, attention)
    return replace(
        adopt_model(model, tokenizer, checkpoint), requested={"dtype": dtype, "attention": attention}
    )


def adopt_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, checkpoint: Checkpoint | None = None
) -> LoadedModel:
    """Prepare a model that is already in memory (a notebook's): eval mode, frozen parameters, self-check."""
    _check_tokenizer(model, tokenizer, checkpoint.spec if checkpoint else "the model")
    model.eval().requires_grad_(False)
    architecture = locate(model)
    check_sites(model, architecture)
    return LoadedModel(checkpoint, model, tokenizer, architecture)


def _device(device: str, weight_bytes: int) -> str:
    if device != "auto":
        try:
            name = torch.device(device)
        except RuntimeError:
            raise ConfigError(f"No device '{device}'; auto, cpu, cuda or cuda:<n> is expected.") from None
        if name.type == "cuda" and (
            not torch.cuda.is_available() or (name.index or 0) >= torch.cuda.device_count()
        ):
            raise ConfigError(f"No device '{device}': torch sees {torch.cuda.device_count()} CUDA devices.")
        return device
    if not torch.cuda.is_available():
        return "cpu"
    free = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]
    roomiest = max(range(len(free)), key=free.__getitem__)
    return f"cuda:{roomiest}" if free[roomiest] > _HEADROOM * weight_bytes else "spread"


def _bytes_needed(checkpoint: Checkpoint, dtype: str) -> int:
    """Bytes of the weights in the dtype asked for, which can be wider than the saved one."""
    saved = str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype") or "float32")
    if dtype not in _DTYPES or saved not in _DTYPES:
        return checkpoint.weight_bytes
    return checkpoint.weight_bytes * _DTYPES[dtype].itemsize // _DTYPES[saved].itemsize


def _dtype(dtype: str, place: str) -> torch.dtype | str:
    if dtype == "auto":
        return torch.float32 if place == "cpu" else "auto"
    if dtype not in _DTYPES:
        raise ConfigError(f"No dtype '{dtype}'; one of auto, {', '.join(_DTYPES)} is expected.")
    return _DTYPES[dtype]


def _tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """The tokenizer as the checkpoint declares it.

    AutoTokenizer replaces a generic tokenizer.json by the model family's own class, which can add tokens.
    """
    declared = checkpoint.tokenizer_config.get("tokenizer_class", "")
    loader = PreTrainedTokenizerFast if declared in _GENERIC_TOKENIZERS else AutoTokenizer
    try:
        return loader.from_pretrained(checkpoint.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the loaders raise a dozen kinds; the user needs the file and the reason
        raise CheckpointError(
            f"The tokenizer in {checkpoint.path} cannot be loaded: {_first_line(error)}"
        ) from None


def _model(checkpoint: Checkpoint, dtype: torch.dtype | str, place: str, attention: str) -> PreTrainedModel:
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
        plain, found = opened
        _require_all(checkpoint, found["missing_keys"])
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
        f"does not fit on the accelerators: {checkpoint.weight_bytes / 1e9:.1f} GB of weights, {free / 1e9:.1f} GB free. "
        "Use a smaller --dtype, more devices, or --device cpu."
    )


def _require_all(checkpoint: Checkpoint, missing: Collection[str]) -> None:
    """transformers fills in what the weights lack with random numbers, and goes on."""
    if missing:
        raise CheckpointError(
            f"{checkpoint.path} lacks {len(missing)} of the model's tensors ({', '.join(sorted(missing)[:3])}): its weights "
            "and its config.json do not belong together, or a file is missing."
        )


def _with_adapter(model: PreTrainedModel, checkpoint: Checkpoint) -> PreTrainedModel:
    """Put the adapter on unmerged, as it was trained: merging into bfloat16 weights would round its update away."""
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


def _check_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    rows = len(next(model.get_input_embeddings().parameters()))
    added = tokenizer.added_tokens_encoder  # some families add a token that the model never embeds
    largest = max((i for token, i in tokenizer.get_vocab().items() if token not in added), default=-1)
    if largest >= rows or largest + 1 < _FEWEST_ROWS_USED * rows:
        raise CheckpointError(
            f"The tokenizer of {name} has ids up to {largest}, but the model embeds {rows}: they do not belong together. "
            "Save both from the same run."
        )


def _advice(checkpoint: Checkpoint, error: Exception) -> str:
    text = _first_line(error)
    if "trust_remote_code" in str(error):
        text = f"its architecture '{checkpoint.config.get('model_type')}' needs code from the repository, which is never run"
    return f"{checkpoint.path} cannot be opened: {text}"


def _first_line(error: Exception) -> str:
    return next(
        (line.strip()[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__
    )
