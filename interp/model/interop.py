"""Hand an opened checkpoint to TransformerLens or nnsight, and leave the model itself unchanged."""

from __future__ import annotations

import copy
import importlib
from itertools import chain
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from interp.errors import CapabilityError, nearest
from interp.model.loading import LoadedModel
from interp.model.sites import SITES, Site

__all__ = ["to_nnsight", "to_transformer_lens", "transformer_lens_name"]

_TRANSFORMER_LENS = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "head": "attn.hook_z",
    "attn_out": "attn.hook_out",  # hook_attn_out is behind the extra norm of post-norm architectures
    "mlp_gate": "mlp.hook_pre",
    "mlp_neuron": "mlp.hook_post",
    "mlp_out": "mlp.hook_out",  # likewise
}


def to_transformer_lens(loaded: LoadedModel) -> Any:
    """Build a TransformerLens bridge around a deep copy, so it takes the memory of a second model.

    TransformerLens replaces submodules and switches to eager attention, hence the copy. The weights are
    unprocessed, so activations equal ours up to the rounding of eager attention; `enable_compatibility_mode`
    changes that. The
    tokenizer is a copy of ours too: ``bridge.to_tokens(text)`` puts a BOS in front only if ours does.

    Returns:
        A ``transformer_lens.model_bridge.TransformerBridge``.

    Raises:
        CapabilityError: TransformerLens is not installed, or does not know the architecture.
    """
    library = _import("transformer_lens.model_bridge.sources", "TransformerLens", "tl")
    twin: Any = copy.deepcopy(loaded.model)
    architecture = type(twin).__name__
    tokenizer = _for_transformer_lens(loaded.tokenizer)
    try:
        bridge = library.build_bridge_from_module(
            twin, architecture, hf_config=twin.config, tokenizer=tokenizer
        )
    except (
        Exception
    ) as error:  # it asks for modules by name, so it fails in as many ways as there are architectures
        raise CapabilityError(f"TransformerLens cannot represent '{architecture}': {error}") from error
    bridge.cfg.default_prepend_bos = bridge.cfg.tokenizer_prepends_bos
    return bridge


def to_nnsight(loaded: LoadedModel) -> Any:
    """Wrap a second module tree over the same weights, so it takes no memory.

    nnsight puts its own ``forward`` into every module and leaves it there, hence the second tree. Activations
    are identical to ours to the bit. Whoever assigns to a weight in place changes both. The tokenizer is a
    copy, because nnsight turns its padding side to the left.

    Returns:
        An ``nnsight.TransformersModel``.

    Raises:
        CapabilityError: nnsight is not installed.
    """
    library = _import("nnsight", "nnsight", "nnsight")
    return library.TransformersModel(_same_weights(loaded.model), tokenizer=copy.deepcopy(loaded.tokenizer))


def transformer_lens_name(site: Site) -> str:
    """The TransformerLens hook of a site.

    One differs in value: ``mlp.hook_pre`` is the gate before its activation, `mlp_gate` the gate after it.

    Raises:
        CapabilityError: There is no such site.
    """
    if site.name not in _TRANSFORMER_LENS:
        raise CapabilityError(
            f"No site '{site.name}'.{nearest(site.name, SITES)} Choose from: {', '.join(SITES)}."
        )
    return f"blocks.{site.layer}.{_TRANSFORMER_LENS[site.name]}"


def _import(module: str, library: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CapabilityError(
            f"{library} cannot be imported ({error}): pip install 'interp[{extra}]'."
        ) from error


def _for_transformer_lens(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A copy that TransformerLens takes as it is: without these two entries it loads another one by name."""
    twin = copy.deepcopy(tokenizer)
    twin.init_kwargs = {**twin.init_kwargs, "name_or_path": twin.name_or_path, "add_bos_token": True}
    return twin


def _same_weights(model: nn.Module) -> nn.Module:
    """A copy of the module tree that holds the same parameters and buffers."""
    tensors = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
