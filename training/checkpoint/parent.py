"""The parent checkpoint of a run, opened for training, and refused if the run would fail later."""

from __future__ import annotations

import dataclasses
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from interp.errors import CheckpointError, ConfigError
from interp.manifest import damage
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.model.quiet import quiet_transformers
from interp.model.weights import check_tokenizer, load_adapted, load_tokenizer, load_weights
from training.config import TrainConfig
from training.files import write_folder

__all__ = ["ParentCheckpoint", "open_parent", "resolve_parent", "training_dtype"]


@dataclass(frozen=True)
class ParentCheckpoint:
    """The checkpoint that a run starts from, opened for training.

    Attributes:
        checkpoint: Where it comes from.
        path: Folder of the weights as opened; not the checkpoint's own when an adapter was merged into them.
        model: All weights trainable, without an adapter.
        tokenizer: Has an end token and a padding token.
        saved_dtype: Type of the saved weights, of the parent and of what the run makes of it.
    """

    checkpoint: Checkpoint
    path: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    saved_dtype: torch.dtype

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 2**31))

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion: the tokenizer's end token, and those of the generation settings."""
        stops = self.model.generation_config.eos_token_id
        declared = stops if isinstance(stops, list) else [] if stops is None else [stops]
        return tuple(dict.fromkeys([self.tokenizer.eos_token_id, *declared]))

    def n_tokens(self, text: str) -> int:
        """Tokens of a prompt."""
        return len(self.tokenizer(text)["input_ids"])


def open_parent(config: TrainConfig, *, random: bool = False) -> ParentCheckpoint:
    """Open the parent checkpoint for training.

    A parent that is a LoRA adapter is merged into its base, in the folder of the run.

    Args:
        config: Names the parent, the type of the weights, the device and the folder.
        random: Random weights of the parent's architecture in place of its own.

    Raises:
        ConfigError: The type of the weights cannot be trained here.
        CheckpointError: The parent cannot be opened, or its tokenizer lacks a token.
    """
    checkpoint = resolve_parent(config.model)
    dtype = training_dtype(config)
    tokenizer = load_tokenizer(checkpoint)
    _require_tokens(checkpoint, tokenizer)
    with quiet_transformers():
        path = checkpoint.path
        if checkpoint.adapter is not None:
            with PartialState().main_process_first():  # the others then read what it merged
                path = _merged(checkpoint, config.out, tokenizer)
        model: Any
        if random:
            model = _random_model(checkpoint, config.seed)
        else:
            model = load_weights(dataclasses.replace(checkpoint, path=path, adapter=None), dtype)
    check_tokenizer(model, tokenizer, checkpoint.spec)
    model.config.pad_token_id = tokenizer.pad_token_id
    return ParentCheckpoint(checkpoint, path, model, tokenizer, _saved_dtype(checkpoint))


def resolve_parent(spec: str) -> Checkpoint:
    """Find a checkpoint to train from.

    Raises:
        CheckpointError: As of `resolve_checkpoint`; or it is a GGUF file, whose folder in the cache can be
        emptied.
    """
    checkpoint = resolve_checkpoint(spec)
    if checkpoint.gguf is not None:
        source = shlex.quote(str(checkpoint.gguf))
        raise CheckpointError(
            f"'{spec}' is a GGUF file; training needs weights that stay where they are. Convert it "
            f"first: interp "
            f"checkpoint convert {source} FOLDER."
        )
    return checkpoint


def training_dtype(config: TrainConfig) -> torch.dtype:
    """Return the type that the weights have while they are trained.

    All weights are trained in float32, since an update of bfloat16 weights is mostly rounded away; a base
    under an adapter is frozen and can be bfloat16.

    Raises:
        ConfigError: bfloat16 would lose the updates, or the CPU does not have it.
    """
    gpu = torch.cuda.is_available() and config.device == "auto"
    if config.dtype == "bfloat16" and not config.lora_rank:
        raise ConfigError(
            "dtype bfloat16 for full fine-tuning: at lr 1e-6 only 1 % of AdamW's update survives the "
            "rounding. Leave dtype at auto (float32 weights, bfloat16 arithmetic on a GPU), or set "
            "lora_rank."
        )
    if config.dtype == "bfloat16" and not gpu and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise ConfigError("dtype bfloat16, but this CPU has no bfloat16 arithmetic. Use float32.")
    frozen_base = config.dtype == "auto" and config.lora_rank > 0 and gpu
    return torch.bfloat16 if config.dtype == "bfloat16" or frozen_base else torch.float32


def _require_tokens(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> None:
    for name, purpose in (("eos", "end"), ("pad", "padding")):
        if getattr(tokenizer, f"{name}_token_id") is None:
            raise CheckpointError(
                f"The tokenizer of {checkpoint.spec} has no {purpose} token. Set tokenizer.{name}_token to "
                "one of its tokens and save it beside the weights."
            )


def _merged(checkpoint: Checkpoint, out: Path, tokenizer: PreTrainedTokenizerBase) -> Path:
    """Merge the parent's adapter in float32, into a folder: the reference of a KL term is read from disk."""
    folder = out / "parent"
    marker = folder / "merged.json"
    if (
        marker.is_file()
        and not damage(folder)
        and json.loads(marker.read_text())["fingerprint"] == checkpoint.fingerprint
    ):
        return folder
    whole = load_adapted(checkpoint, torch.float32).merge_and_unload()

    def write(temporary: Path) -> None:
        whole.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        (temporary / "merged.json").write_text(json.dumps({"fingerprint": checkpoint.fingerprint}))

    write_folder(folder, write, out)
    return folder


def _random_model(checkpoint: Checkpoint, seed: int) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(checkpoint.path, local_files_only=True, trust_remote_code=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def _saved_dtype(checkpoint: Checkpoint) -> torch.dtype:
    name = str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype") or "float32")
    return getattr(torch, name, torch.float32)
