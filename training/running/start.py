"""Where a run starts: the parent checkpoint, opened for training, and everything that would make it fail later."""

from __future__ import annotations

import atexit
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from interp.errors import CapabilityError, CheckpointError, ConfigError
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.model.weights import check_tokenizer, load_tokenizer, load_weights
from training.config import TrainConfig
from training.files import quiet_transformers, write_folder

__all__ = ["Start", "lora_config", "open_start", "open_world", "training_dtype", "with_adapter"]

_ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


@dataclass(frozen=True)
class Start:
    """A parent, opened for training.

    Attributes:
        checkpoint: Where it comes from.
        path: Folder of the weights as opened; differs from the checkpoint's when an adapter was merged.
        model: With all weights trainable, and no adapter yet.
        tokenizer: Its tokenizer, which has an end token and a padding token.
        saved_dtype: The type the parent's weights are saved in, and the child's too.
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

    def n_tokens(self, text: str) -> int:
        """Tokens of a prompt."""
        return len(self.tokenizer(text)["input_ids"])


def open_world(device: str) -> PartialState:
    """Find the other processes of the run, and leave them in order when this one ends.

    Threads of gloo that still run when Python ends abort the process, after all of its work is done.
    """
    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    atexit.unregister(_leave_world)
    atexit.register(_leave_world)
    return state


def _leave_world() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def open_start(config: TrainConfig, out: Path, *, random: bool = False) -> Start:
    """Open the parent for training.

    Args:
        config: Names the parent, the type of the weights and the device.
        out: Folder of the run, where the weights of a parent that is a LoRA adapter are merged to.
        random: Random weights of the parent's shape in place of its own.

    Raises:
        ConfigError: The type cannot be computed with here.
        CheckpointError: The parent cannot be opened, or lacks what training needs.
    """
    checkpoint = resolve_checkpoint(config.model)
    dtype = training_dtype(config)
    tokenizer = load_tokenizer(checkpoint)
    _require_tokens(checkpoint, tokenizer)
    with quiet_transformers():
        path = checkpoint.path
        if checkpoint.adapter is not None:
            with PartialState().main_process_first():  # one merges, the others find it done
                path = _merged(checkpoint, out, tokenizer)
        model: Any
        if random:
            model = _random_model(checkpoint, config.seed)
        else:
            model = load_weights(dataclasses.replace(checkpoint, path=path, adapter=None), dtype)
    check_tokenizer(model, tokenizer, checkpoint.spec)
    model.config.pad_token_id = tokenizer.pad_token_id
    return Start(checkpoint, path, model, tokenizer, _saved_dtype(checkpoint))


def training_dtype(config: TrainConfig) -> torch.dtype:
    """Return the type that the weights have while they are trained.

    All weights are trained in float32, since an update of bfloat16 weights is mostly rounded away; a base under an
    adapter is frozen and can be bfloat16.

    Raises:
        ConfigError: bfloat16 is asked for where it would lose the updates, or on a CPU without it.
    """
    gpu = torch.cuda.is_available() and config.device == "auto"
    if config.dtype == "bfloat16" and not config.lora_rank:
        raise ConfigError(
            "dtype bfloat16 for full fine-tuning: at lr 1e-6 only 1 % of AdamW's update survives the rounding. "
            "Leave dtype at auto (float32 weights, bfloat16 arithmetic on a GPU), or set lora_rank."
        )
    if config.dtype == "bfloat16" and not gpu and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise ConfigError("dtype bfloat16, but this CPU has no bfloat16 arithmetic. Use float32.")
    wanted = config.dtype == "bfloat16" or (config.dtype == "auto" and config.lora_rank > 0 and gpu)
    return torch.bfloat16 if wanted else torch.float32


def lora_config(config: TrainConfig) -> Any:
    """Return the adapter that a configuration asks for, or None.

    Raises:
        CapabilityError: peft is not installed.
    """
    if not config.lora_rank:
        return None
    try:
        from peft import LoraConfig
    except ImportError:
        raise CapabilityError("An adapter needs peft: pip install 'interp[train]'.") from None
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        lora_dropout=0.0,  # rollouts are sampled in training mode, and must be of the policy that is scored
        target_modules=_ATTENTION if config.lora_targets == "attention" else "all-linear",
        task_type="CAUSAL_LM",
    )


def with_adapter(model: PreTrainedModel, config: TrainConfig) -> Any:
    """Return the model under the adapter that a configuration asks for, or as it is."""
    adapter = lora_config(config)
    if adapter is None:
        return model
    from peft import get_peft_model

    return get_peft_model(model, adapter)


def _require_tokens(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> None:
    for name, purpose in (("eos", "end"), ("pad", "padding")):
        if getattr(tokenizer, f"{name}_token_id") is None:
            raise CheckpointError(
                f"The tokenizer of {checkpoint.spec} has no {purpose} token. Set tokenizer.{name}_token to one of its "
                "tokens and save it beside the weights."
            )


def _merged(checkpoint: Checkpoint, out: Path, tokenizer: PreTrainedTokenizerBase) -> Path:
    """Merge the parent's adapter in float32 into a folder of the run: the reference of a KL term is read from disk."""
    folder = out / "parent"
    marker = folder / "merged.json"
    if marker.is_file() and json.loads(marker.read_text())["fingerprint"] == checkpoint.fingerprint:
        return folder
    try:
        from peft import PeftModel
    except ImportError:
        raise CapabilityError(
            f"{checkpoint.adapter} is a LoRA adapter: pip install 'interp[train]'."
        ) from None
    base: Any = load_weights(dataclasses.replace(checkpoint, adapter=None), torch.float32)
    adapted: Any = PeftModel.from_pretrained(base, str(checkpoint.adapter))
    whole = adapted.merge_and_unload()

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
