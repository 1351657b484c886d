"""The one file that knows architectures: where in a Hugging Face decoder each quantity is read and edited.

A site is a named place in the forward pass. For the families that share Llama's module names (Llama, Qwen2,
Qwen3, Mistral, Gemma, OLMo, OLMo2, Phi3 and others) the modules are found by structure and then verified at
load (`interp.model.selfcheck`), so a fine-tune of any of them works without being listed.

| site         | what                                   | axes                     | TransformerLens       |
|--------------|----------------------------------------|--------------------------|-----------------------|
| `resid_pre`  | residual stream entering the layer     | prompt token model       | `hook_resid_pre`      |
| `resid_mid`  | stream between attention and MLP       | prompt token model       | `hook_resid_mid`      |
| `resid_post` | residual stream leaving the layer      | prompt token model       | `hook_resid_post`     |
| `head`       | head outputs before the projection     | prompt token head d_head | `attn.hook_z`         |
| `attn_out`   | attention output projection            | prompt token model       | `attn.hook_out`       |
| `mlp_gate`   | activated gate, act(gate): LAPE's site | prompt token neuron      | act of `mlp.hook_pre` |
| `mlp_neuron` | the neuron, act(gate) * up             | prompt token neuron      | `mlp.hook_post`       |
| `mlp_out`    | MLP output projection                  | prompt token model       | `mlp.hook_out`        |

`attn_out` and `mlp_out` stand before the extra norm of post-norm architectures such as OLMo2: the projection,
not the residual write. Families whose attention and MLP run side by side have no `resid_mid`. Where there is
one, the module that reads it next holds it; it is edited through what attention writes, since the layer
carries the stream past that module. The sign of `mlp_gate` agrees with that of `mlp_neuron` only about half
of the time, so the two are kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn
from transformers import PreTrainedModel

from interp.errors import CapabilityError, nearest

__all__ = [
    "SITES",
    "SITES_OF",
    "Architecture",
    "Site",
    "SiteName",
    "linear_layers",
    "locate",
    "unembed",
]

SiteName = Literal[
    "resid_pre", "resid_mid", "resid_post", "head", "attn_out", "mlp_gate", "mlp_neuron", "mlp_out"
]
SITES: tuple[str, ...] = get_args(SiteName)

# site -> path below the layer ("" = the layer itself; "|" = one name or the other) and side of the module
_PLACES: dict[str, tuple[str, Literal["input", "output"]]] = {
    "resid_pre": ("", "input"),
    "resid_mid": ("post_attention_layernorm", "input"),  # where no norm follows the MLP, see _paths
    "resid_post": ("", "output"),
    "head": ("self_attn.o_proj", "input"),
    "attn_out": ("self_attn.o_proj", "output"),
    "mlp_gate": ("mlp.act_fn|mlp.activation_fn", "output"),
    "mlp_neuron": ("mlp.down_proj", "input"),
    "mlp_out": ("mlp.down_proj", "output"),
}


SITES_OF = {"heads": "head", "neurons": "mlp_neuron"}
"""Kind of unit -> the site at which it is read and edited."""


@dataclass(frozen=True)
class Site:
    """A named place at one layer (0-based)."""

    name: str
    layer: int

    def __str__(self) -> str:
        return f"{self.name}[{self.layer}]"


@dataclass(frozen=True)
class Architecture:
    """The parts of a decoder that measures need.

    Attributes:
        family: config.model_type.
        body: The decoder without the unembedding.
        layers: Its blocks, in order.
        unembedding: The projection to the vocabulary.
        config: The text model's configuration.
        n_heads: Query heads per layer.
        d_head: Width of one head (never hidden size / heads, which is wrong for Gemma and Qwen3).
        n_neurons: MLP width; 0 where the MLP has no such site.
        missing: Sites that this architecture lacks -> why.
    """

    family: str
    body: nn.Module
    layers: nn.ModuleList
    unembedding: nn.Module
    config: Any
    n_heads: int
    d_head: int
    n_neurons: int
    missing: dict[str, str]

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.layers)

    def require(self, *names: str) -> None:
        """Raise CapabilityError unless every named site exists."""
        for name in names:
            if name not in _PLACES:
                raise CapabilityError(
                    f"No site '{name}'.{nearest(name, SITES)} Choose from: {', '.join(SITES)}."
                )
            if name in self.missing:
                present = ", ".join(s for s in SITES if s not in self.missing)
                raise CapabilityError(
                    f"'{self.family}' has no site '{name}': {self.missing[name]}. Choose from: {present}."
                )

    def n_units(self, site: str) -> int:
        """Heads or neurons of a layer at one of `SITES_OF`; 0 at a site that is not of units."""
        return {SITES_OF["heads"]: self.n_heads, SITES_OF["neurons"]: self.n_neurons}.get(site, 0)

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of normed final hidden states, as the model itself computes them."""
        return unembed(self.unembedding, self.config, hidden)

    def module(self, site: Site) -> tuple[nn.Module, Literal["input", "output"]]:
        """The module of a site and which side of it to hook."""
        self.require(site.name)
        if not 0 <= site.layer < self.n_layers:
            raise CapabilityError(
                f"No layer {site.layer}: '{self.family}' has layers 0 to {self.n_layers - 1}."
            )
        layer = self.layers[site.layer]
        module = _below(layer, _paths(layer, site.name))
        assert module is not None  # what is missing was found by locate()
        return module, _PLACES[site.name][1]

    def attention_write(self, layer: int) -> tuple[nn.Module, float]:
        """The module whose output attention adds to the residual stream, and the factor of the layer."""
        block = self.layers[layer]
        module = block.get_submodule("post_attention_layernorm" if _normed_writes(block) else "self_attn")
        return module, float(getattr(self.config, "residual_multiplier", None) or 1.0)  # Granite

    def mlp(self, layer: int) -> nn.Module:
        """The module that is a layer's whole MLP."""
        return self.layers[layer].get_submodule("mlp")

    def up_projection(self, layer: int) -> tuple[nn.Module, int] | None:
        """The module that the gate multiplies: its output, or the last of so many parts of a fused one."""
        for path, parts in (("mlp.up_proj", 1), ("mlp.gate_up_proj", 2)):
            if (module := _below(self.layers[layer], path)) is not None:
                return module, parts
        return None

    def to_axes(self, site: Site, value: torch.Tensor) -> torch.Tensor:
        """Give a site's tensor its own axes (heads apart)."""
        return value.unflatten(-1, (self.n_heads, self.d_head)) if site.name == "head" else value

    def from_axes(self, site: Site, value: torch.Tensor) -> torch.Tensor:
        """Undo `to_axes`."""
        return value.flatten(-2) if site.name == "head" else value


def unembed(unembedding: nn.Module, config: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Logits of normed final hidden states, as a model of this text configuration computes them."""
    logits: torch.Tensor = unembedding(hidden)
    if scale := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / scale
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
    return torch.tanh(logits / cap) * cap if cap else logits


def locate(model: PreTrainedModel) -> Architecture:
    """Find the sites of a Hugging Face decoder by structure.

    Raises:
        CapabilityError: There is no stack of layers with an attention output projection; lists what was
            found.
    """
    config = model.config.get_text_config()
    family = str(getattr(config, "model_type", type(model).__name__))
    body: Any = model.get_decoder()
    layers = getattr(body, "layers", None)
    if not isinstance(layers, nn.ModuleList) or len(layers) == 0:
        raise CapabilityError(
            f"'{family}' has no stack 'layers' in {type(body).__name__}; found: {_children(body)}."
        )
    missing = {name: reason for name in SITES if (reason := _absent(layers, name))}
    if "head" in missing:
        raise CapabilityError(f"'{family}' is not supported: {missing['head']}.")
    first: Any = layers[0]
    n_heads, d_head = _head_shape(config, first.self_attn, _width(first.self_attn.o_proj))
    neurons = 0 if "mlp_neuron" in missing else _width(first.mlp.down_proj)
    return Architecture(
        family, body, layers, model.get_output_embeddings(), config, n_heads, d_head, neurons, missing
    )


def linear_layers(model: PreTrainedModel, *, attention_only: bool = False) -> dict[str, nn.Linear]:
    """Return by name the linear layers that a LoRA adapter can be put on: all but the unembedding.

    Raises:
        CapabilityError: There is none, or none in attention.
    """
    unembedding = model.get_output_embeddings()
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module is not unembedding
        and (not attention_only or ".self_attn." in name)
    }
    if not layers:
        where = "in modules named self_attn" if attention_only else "beside its unembedding"
        raise CapabilityError(f"'{model.config.model_type}' has no linear layers {where}.")
    return layers


def _below(layer: nn.Module, paths: str) -> nn.Module | None:
    """The first of the alternative paths that exists."""
    for path in paths.split("|"):
        try:
            return layer.get_submodule(path)
        except AttributeError:
            continue
    return None


def _normed_writes(layer: nn.Module) -> bool:
    """Whether what attention and MLP write is normed on its way to the residual stream (OLMo2, Gemma 2)."""
    return hasattr(layer, "post_feedforward_layernorm")


def _paths(layer: nn.Module, name: str) -> str:
    """Alternative paths of a site's module below a layer."""
    if name == "resid_mid" and _normed_writes(layer):
        return "pre_feedforward_layernorm|mlp"
    return _PLACES[name][0]


def _absent(layers: nn.ModuleList, name: str) -> str:
    """Why a site is absent, or an empty string."""
    for index, layer in enumerate(layers):
        paths = _paths(layer, name)
        if _below(layer, paths) is None:
            parent = paths.split("|")[0].rpartition(".")[0]
            held = _children(_below(layer, parent) or layer)
            return f"layer {index} has no {paths.replace('|', ' or ')} (found: {held})"
    return ""


def _head_shape(config: Any, attention: Any, width: int) -> tuple[int, int]:
    n_heads = int(config.num_attention_heads)
    d_head = int(getattr(attention, "head_dim", 0) or getattr(config, "head_dim", 0) or width // n_heads)
    if n_heads * d_head != width:
        raise CapabilityError(
            f"'{config.model_type}': {n_heads} heads of {d_head} do not make the {width} inputs of o_proj."
        )
    return n_heads, d_head


def _width(projection: nn.Module) -> int:
    base: Any = getattr(projection, "base_layer", projection)  # LoRA wraps the projection
    return int(base.in_features)


def _children(module: nn.Module) -> str:
    return ", ".join(name for name, _ in module.named_children()) or "no submodules"
