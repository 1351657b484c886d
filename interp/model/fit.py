"""Do the weights of a checkpoint belong to its configuration? Asked of names and shapes alone, before
anything is loaded.

The model is built on torch's meta device, which has shapes and no memory, and transformers' own loader
puts tensors of the
headers' shapes into it: so its renamings, its fusion of experts, and tied weights are those of the real
load. An adapter is
put on that model by peft and compared with its file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from interp.characters import visible
from interp.errors import CapabilityError, CheckpointError, InterpError
from interp.model.checkpoints import Checkpoint
from interp.model.quiet import first_line, quiet_transformers
from interp.model.sites import EMBEDDING_NAME
from interp.model.weight_files import ADAPTER_WEIGHTS, StoredTensor, stored_tensors

__all__ = ["adapter_rows", "model_config", "require_fit", "require_peft", "with_rows"]

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d{1,9})\.")
_LAYER_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_COUNTS = re.compile(r"(layers?|experts?|heads?)$|^n_head$")
_ADAPTER_PREFIX = "base_model.model."


def require_fit(checkpoint: Checkpoint) -> None:
    """Refuse weights that are not those of the configuration, and an adapter that is not one of the model.

    Raises:
        CheckpointError: A tensor is missing, not used, or of another shape; or the configuration cannot be
        built.
        CapabilityError: The architecture needs code from the repository, or an adapter needs peft.
    """
    config = model_config(checkpoint)
    skeleton = _skeleton(checkpoint, config)
    if (
        getattr(config, "quantization_config", None) is None
    ):  # packed weights have names and shapes of their own
        _require_tensors(checkpoint, config, skeleton)
    if checkpoint.adapter:
        _require_adapter(checkpoint, skeleton)


def model_config(checkpoint: Checkpoint) -> Any:
    """The configuration of a checkpoint as transformers reads it, after its sizes were looked at.

    Raises:
        CheckpointError: It cannot be read, or has sizes that the weights cannot have.
    """
    _require_possible(checkpoint)
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(
                checkpoint.path, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # the readers raise a dozen kinds; the user needs the file and the reason
        raise CheckpointError(_cannot_open(checkpoint, error)) from None
    config.transformers_weights = None  # it could name a file that was not looked at
    return config


def _require_possible(checkpoint: Checkpoint) -> None:
    """Refuse numbers of layers, heads or experts that would take minutes to build; the weights cannot hold
    so many."""
    tensors = checkpoint.tensors
    most = max([len(tensors), *(size for tensor in tensors.values() for size in tensor.shape)])
    for where in (checkpoint.config, checkpoint.config.get("text_config")):
        for key, value in where.items() if isinstance(where, dict) else ():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            if key in _LAYER_KEYS and value > len(tensors):
                raise CheckpointError(_layers_differ(checkpoint, int(value), _n_layers(tensors)))
            if _COUNTS.search(key) and value > most:
                raise CheckpointError(
                    f"{checkpoint.path / 'config.json'} has {visible(key)} {value:,}, but the "
                    f"weights have only "
                    f"{len(tensors)} tensors: they do not belong together."
                )


def _n_layers(names: Collection[str]) -> int:
    """One more than the largest number of a layer."""
    return max((int(found[1]) + 1 for name in names if (found := _LAYER.search(name))), default=0)


def _layers_differ(checkpoint: Checkpoint, claimed: int, held: int) -> str:
    return (
        f"{checkpoint.path} has a config.json of {claimed} layers and weights of {held}: they do "
        f"not belong together, or "
        "a file is missing. Copy or save both again."
    )


def _skeleton(checkpoint: Checkpoint, config: Any) -> PreTrainedModel:
    """The model of a configuration without its weights."""
    try:
        with quiet_transformers(), torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # as above
        raise CheckpointError(_cannot_open(checkpoint, error)) from None


def _require_tensors(checkpoint: Checkpoint, config: Any, skeleton: PreTrainedModel) -> None:
    needed = {name: value.dtype for name, value in skeleton.state_dict().items()}
    for name, tensor in checkpoint.tensors.items():
        dtype = _DTYPES.get(tensor.dtype)
        if dtype is None or (
            name in needed and needed[name].is_floating_point and not dtype.is_floating_point
        ):
            raise CheckpointError(
                f"{checkpoint.path} has '{visible(name)}' as {tensor.dtype}; weights as F32, BF16 "
                f"or F16 are expected, and "
                "quantized ones with a quantization_config in config.json."
            )
    try:
        with quiet_transformers():
            opened: Any = type(skeleton).from_pretrained(
                None,
                config=config,
                state_dict=_on_meta(checkpoint.tensors),
                device_map={"": "meta"},
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except Exception as error:  # as above
        raise CheckpointError(_cannot_open(checkpoint, error)) from None
    report = opened[1]
    claimed, held = int(config.get_text_config().num_hidden_layers), _n_layers(checkpoint.tensors)
    if (report["missing_keys"] or report["unexpected_keys"]) and held and claimed != held:
        raise CheckpointError(_layers_differ(checkpoint, claimed, held))
    together = "its weights and its config.json do not belong together"
    if missing := sorted(report["missing_keys"]):
        raise CheckpointError(
            f"{checkpoint.path} lacks {len(missing)} of the model's tensors ({_some(missing)}): "
            f"{together}, or a file is "
            "missing."
        )
    if surplus := sorted(report["unexpected_keys"]):
        raise CheckpointError(
            f"{checkpoint.path} has {len(surplus)} tensors that its model does not use "
            f"({_some(surplus)}): {together}, so "
            "another model would be measured."
        )
    if shapes := sorted(report["mismatched_keys"]):
        name, found, expected = shapes[0]
        raise CheckpointError(
            f"{checkpoint.path} has {len(shapes)} tensors of another shape than its config.json "
            f"says, such as "
            f"{visible(name)}: {list(found)} in the weights, {list(expected)} expected."
        )
    if report.get("error_msgs") or report.get("conversion_errors"):
        raise CheckpointError(f"{checkpoint.path} cannot be put together: {together}.")


def _on_meta(tensors: Mapping[str, StoredTensor]) -> dict[str, torch.Tensor]:
    return {
        name: torch.empty(each.shape, dtype=_DTYPES[each.dtype], device="meta")
        for name, each in tensors.items()
    }


# adapters


@cache
def require_peft() -> Any:
    """Return the package ``peft``.

    Raises:
        CapabilityError: It is not installed.
    """
    try:
        import peft
    except ImportError:
        raise CapabilityError("A LoRA adapter needs peft: pip install 'interp[train]'.") from None
    return peft


def adapter_rows(checkpoint: Checkpoint) -> int:
    """Rows of the vocabulary that an adapter brings along with its own embedding; 0 if it brings none."""
    assert checkpoint.adapter is not None
    tensors = stored_tensors([checkpoint.adapter / ADAPTER_WEIGHTS])
    rows = [
        tensor.shape[0] for name, tensor in tensors.items() if EMBEDDING_NAME.search(name) and tensor.shape
    ]
    return max(rows, default=0)


def with_rows(model: PreTrainedModel, rows: int) -> PreTrainedModel:
    """Give a model as many embedding rows as its adapter has, which brings the values of all of them."""
    if rows and rows != _n_rows(model):
        model.resize_token_embeddings(rows, mean_resizing=False)
    return model


def _n_rows(model: PreTrainedModel) -> int:
    return len(next(model.get_input_embeddings().parameters()))


def _require_adapter(checkpoint: Checkpoint, skeleton: PreTrainedModel) -> None:
    """Compare an adapter's file with what peft makes of its configuration on the model."""
    folder, settings = checkpoint.adapter, checkpoint.adapter_config
    assert folder is not None
    peft = require_peft()
    stored = stored_tensors([folder / ADAPTER_WEIGHTS])
    _require_plain(folder, settings, len(stored))
    rows, before = adapter_rows(checkpoint), _n_rows(skeleton)
    try:
        with quiet_transformers(), torch.device("meta"):
            with_rows(skeleton, rows)
            config = peft.PeftConfig.from_pretrained(str(folder))
            config.init_lora_weights = (
                False  # what is trained is not made up, and some ways of it need the weights
            )
            adapted = peft.get_peft_model(skeleton, config)
            expected = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
            shared = {f"{_ADAPTER_PREFIX}{name}": value for name, value in skeleton.state_dict().items()}
    except InterpError:
        raise
    except Exception as error:  # as above
        raise CheckpointError(
            f"The adapter {folder} cannot be put on its base {checkpoint.path}: {first_line(error)}"
        ) from None
    _compare_adapter(
        checkpoint, stored, expected, _embeddings(adapted, shared), resized=rows not in (0, before)
    )


def _embeddings(adapted: Any, shared: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The embeddings of the base, which peft saves with an adapter where they were resized or are its
    targets."""
    base = adapted.get_base_model()
    modules = [base.get_input_embeddings(), base.get_output_embeddings()]
    names = [name for name, module in base.named_modules() if any(module is each for each in modules)]
    keys = [f"{_ADAPTER_PREFIX}{name}{part}.weight" for name in names for part in ("", ".base_layer")]
    return {key: shared[key] for key in keys if key in shared}


def _compare_adapter(
    checkpoint: Checkpoint,
    stored: Mapping[str, StoredTensor],
    expected: Mapping[str, torch.Tensor],
    embeddings: Mapping[str, torch.Tensor],
    resized: bool,
) -> None:
    folder = checkpoint.adapter
    tied = checkpoint.config.get("tie_word_embeddings", False)
    rest = {} if tied else embeddings  # whoever ties them saves one, two or a copy
    needed = {**rest, **expected} if resized else expected
    advice = "its adapter_config.json, its weights and its base do not belong together"
    if missing := sorted(needed.keys() - stored.keys()):
        raise CheckpointError(
            f"The adapter {folder} lacks {len(missing)} of the {len(needed)} tensors that it "
            f"should have on its base "
            f"{checkpoint.path} ({_some(missing)}): {advice}, so it would be measured as if it did "
            f"little or nothing."
        )
    if surplus := sorted(stored.keys() - expected.keys() - embeddings.keys()):
        raise CheckpointError(
            f"The adapter {folder} has {len(surplus)} of {len(stored)} tensors that have no place "
            f"on its base "
            f"{checkpoint.path} ({_some(surplus)}): {advice}, so they would be left out."
        )
    for name, tensor in sorted(stored.items()):
        shape = tuple({**embeddings, **expected}[name].shape)
        if tensor.shape != shape:
            raise CheckpointError(
                f"The adapter {folder} has {visible(name)} of shape {list(tensor.shape)}; "
                f"{list(shape)} is expected: "
                f"{advice}."
            )
        if tensor.dtype not in _DTYPES or not _DTYPES[tensor.dtype].is_floating_point:
            raise CheckpointError(
                f"The adapter {folder} has {visible(name)} as {tensor.dtype}; F32, BF16 or F16 is expected."
            )


def _require_plain(folder: Any, settings: Mapping[str, Any], n_tensors: int) -> None:
    """Refuse what would import code by name, or build more layers than there are tensors for."""
    if settings.get("megatron_config"):
        raise CheckpointError(
            f"The adapter {folder} is one for Megatron's layers; only transformers' are read."
        )
    replication = settings.get("layer_replication") or []
    try:
        n_layers = sum(int(end) - int(start) for start, end in replication)
    except (TypeError, ValueError):
        n_layers = -1
    if not 0 <= n_layers <= n_tensors:
        raise CheckpointError(
            f"The adapter {folder} has layer_replication {visible(replication)}; pairs of first "
            f"and last layer are "
            f"expected, of no more layers than its {n_tensors} tensors can be for."
        )


def _some(names: Collection[str]) -> str:
    return visible(", ".join(list(names)[:3]), limit=300)


def _cannot_open(checkpoint: Checkpoint, error: Exception) -> str:
    text = first_line(error)
    if "trust_remote_code" in str(error):
        family = visible(checkpoint.config.get("model_type"))
        text = f"its architecture '{family}' needs code from the repository, which is never run"
    return f"{checkpoint.path} cannot be opened: {text}"
