"""Open a checkpoint: model, tokenizer, dtype and device, and a self-check before anything expensive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Int
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interp.data.prompts import PromptSet
from interp.errors import ConfigError, nearest
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.model.selfcheck import check_sites
from interp.model.sites import Architecture, locate
from interp.model.tokens import Batch, EncodedItem, EncodedPrompts, encode, pad, pad_rows
from interp.model.weights import check_tokenizer, load_tokenizer, load_weights

__all__ = ["LoadedModel", "adopt_model", "open_checkpoint"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_HEADROOM = 1.3  # weights + activations of a measuring pass, relative to the weights alone


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        parts, described = self.architecture, self.describe()
        name = self.checkpoint.name if self.checkpoint else "a model in memory"
        missing = f", no {', '.join(parts.missing)}" if parts.missing else ""
        return (
            f"LoadedModel {name}: {parts.family}, {parts.n_layers} layers x {parts.n_heads} heads and "
            f"{parts.n_neurons} neurons{missing}\n"
            f"  {described['dtype']} on {described['device']}, attention {described['attention']}, "
            f"vocabulary {self.n_embeddings:,}, context {self.context:,}"
        )

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

    def encode(self, prompts: PromptSet, n_blocks: int = 1) -> EncodedPrompts:
        """Tokenize prompts for this model, see `interp.model.tokens.encode`."""
        return encode(
            prompts,
            self.tokenizer,
            n_blocks=n_blocks,
            context=self.context,
            n_embeddings=self.n_embeddings,
        )

    def pad(self, items: Sequence[EncodedItem], side: str = "right") -> Batch:
        """Lay encoded prompts out as a rectangle on the model's device."""
        return pad(items, pad_id=self.pad_id, side=side, device=self.device)

    def pad_rows(
        self, rows: Sequence[Sequence[int]], side: str = "right"
    ) -> tuple[Int[torch.Tensor, "row token"], Int[torch.Tensor, "row token"]]:
        """Lay rows of token ids out as a rectangle on the model's device, with the mask of what is real."""
        return pad_rows(rows, fill=self.pad_id, side=side, device=self.device)

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
        device: auto (one GPU if the weights fit, else all of them; the CPU where there is none), or a torch
            device.
        attention: auto, sdpa or eager.

    Raises:
        CheckpointError: Files are missing, damaged, or model and tokenizer do not belong together.
        CapabilityError: The architecture lacks the sites, or a site does not do what it should.
    """
    checkpoint = resolve_checkpoint(spec) if isinstance(spec, str) else spec
    place = _device(device, _bytes_needed(checkpoint, dtype))
    kind = _dtype(dtype, place)
    tokenizer = load_tokenizer(checkpoint)
    model = load_weights(checkpoint, kind, place, attention)
    return replace(
        adopt_model(model, tokenizer, checkpoint), requested={"dtype": dtype, "attention": attention}
    )


def adopt_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, checkpoint: Checkpoint | None = None
) -> LoadedModel:
    """Prepare a model that is already in memory (a notebook's): eval mode, frozen parameters, self-check."""
    check_tokenizer(model, tokenizer, checkpoint.spec if checkpoint else "the model")
    model.eval().requires_grad_(False)
    architecture = locate(model)
    check_sites(model, architecture)
    return LoadedModel(checkpoint, model, tokenizer, architecture)


def _device(device: str, weight_bytes: int) -> str:
    if device != "auto":
        try:
            name = torch.device(device)
        except RuntimeError:
            raise ConfigError(f"No device '{device}'. Choose from: auto, cpu, cuda, cuda:<n>.") from None
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
        choices = ("auto", *_DTYPES)
        raise ConfigError(f"No dtype '{dtype}'.{nearest(dtype, choices)} Choose from: {', '.join(choices)}.")
    return _DTYPES[dtype]
