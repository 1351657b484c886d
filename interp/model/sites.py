"""The one file that knows architectures: where in a Hugging Face decoder each quantity is read and edited.

A site is a named place in the forward pass. Its module is found by structure, under any of the names that
model families give it (`_PLACES`), and verified at load (`interp.model.selfcheck`), so a fine-tune of a known
family and most new families work without being listed. A site that an architecture lacks, or that fails its
check, is struck off with the reason; everything else stays usable.

| site            | what                                   | axes                  | TransformerLens       |
|-----------------|----------------------------------------|-----------------------|-----------------------|
| `resid_pre`     | residual stream entering the layer     | prompt token model    | `hook_resid_pre`      |
| `resid_mid`     | stream between attention and MLP       | prompt token model    | `hook_resid_mid`      |
| `resid_post`    | residual stream leaving the layer      | prompt token model    | `hook_resid_post`     |
| `head`          | head outputs before the projection     | prompt token head dim | `attn.hook_z`         |
| `attn_out`      | attention output projection            | prompt token model    | `attn.hook_out`       |
| `mlp_gate`      | activated gate, act(gate): LAPE's site | prompt token neuron   | act of `mlp.hook_pre` |
| `mlp_neuron`    | the neuron, act(gate) * up             | prompt token neuron   | `mlp.hook_post`       |
| `mlp_out`       | MLP output projection                  | prompt token model    | `mlp.hook_out`        |
| `expert_gate`   | `mlp_gate` of the experts a token has  | assignment neuron     |                       |
| `expert_neuron` | `mlp_neuron` of these experts          | assignment neuron     |                       |
| `shared_gate`   | `mlp_gate` of the experts all share    | prompt token neuron   |                       |
| `shared_neuron` | `mlp_neuron` of these experts          | prompt token neuron   |                       |

An MLP without a gate (GPT-2, BLOOM, OPT, Nemotron) has neurons act(up): both MLP sites are the same there. A
layer that routes tokens to experts has `expert_*` sites instead, with one row per token and expert that it is
routed to (`interp.model.experts.Routed`), and its `mlp_out` is all that its experts write.

`attn_out` and `mlp_out` stand before the extra norm of post-norm architectures such as OLMo2: the projection,
not the residual write. Families whose attention and MLP run side by side have no `resid_mid`. Where there is
one, the module that reads it next holds it; it is edited through what attention writes, since the layer
carries the stream past that module. The sign of `mlp_gate` agrees with that of `mlp_neuron` only about half
of the time, so the two are kept apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import nn
from transformers import PreTrainedModel

from interp.errors import CapabilityError, nearest

__all__ = [
    "EMBEDDING_NAME",
    "EXPERT_SITES",
    "SITES",
    "SITES_OF",
    "Architecture",
    "Experts",
    "Neurons",
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
EXPERT_SITES = ("expert_gate", "expert_neuron", "shared_gate", "shared_neuron")
"""Sites of layers that route tokens to experts."""

Side = Literal["input", "output"]

# names that families give to one thing, below the decoder or below a layer; the first that exists is taken
_STACK = "layers|h"
_ATTENTION = (
    "self_attn.o_proj|self_attn.out_proj|self_attn.dense|attention.dense|self_attention.dense|attn.c_proj|"
    "attn.out_proj|attn.attention.out_proj"
)
_MIXER = "linear_attn.out_proj|conv.out_proj"  # of hybrids, where a layer has no attention
_MLP = "mlp|feed_forward"
_ACTIVATION = (
    "mlp.act_fn|mlp.activation_fn|mlp.act|mlp.gelu_impl|feed_forward.act_fn|feed_forward.activation_fn|"
    "activation_fn"
)
_DOWN = (
    "mlp.down_proj|mlp.dense_4h_to_h|mlp.c_proj|mlp.fc2|mlp.fc_out|feed_forward.down_proj|feed_forward.w2|fc2"
)
_EXPERTS = "mlp.experts|feed_forward.experts|block_sparse_moe.experts|moe.experts"
_ROUTER = "gate|router"  # beside the experts
_SHARED = (
    "mlp.shared_expert|mlp.shared_experts|mlp.shared_mlp|feed_forward.shared_expert|shared_mlp|"
    "moe.shared_experts"
)

# site -> path below the layer ("" = the layer itself) and side of the module
_PLACES: dict[str, tuple[str, Side]] = {
    "resid_pre": ("", "input"),
    "resid_mid": (  # where no norm follows the MLP, see _paths
        "post_attention_layernorm|feedforward_layernorm|pre_ff_layernorm|ffn_norm|ln_2|final_layer_norm",
        "input",
    ),
    "resid_post": ("", "output"),
    "head": (_ATTENTION, "input"),
    "attn_out": (_ATTENTION, "output"),
    "mlp_gate": (_ACTIVATION, "output"),
    "mlp_neuron": (_DOWN, "input"),
    "mlp_out": (_DOWN, "output"),
    "expert_gate": (_EXPERTS, "input"),
    "expert_neuron": (_EXPERTS, "input"),
    "shared_gate": ("act_fn|activation_fn|activation", "output"),  # below the shared experts
    "shared_neuron": ("down_proj|output_linear", "input"),
}

# the module that the gate multiplies: its output, or the last part of a fused one; and its companion
_GATED = (
    ("mlp.up_proj", 1, "mlp.gate_proj"),
    ("mlp.gate_up_proj", 2, ""),
    ("feed_forward.up_proj", 1, "feed_forward.gate_proj"),
)
_SHARED_GATED = (("up_proj", 1, "gate_proj"), ("input_linear", 2, ""))

SITES_OF = {"heads": "head", "neurons": "mlp_neuron"}
"""Kind of unit -> the site at which it is read and edited."""

EMBEDDING_NAME = re.compile(r"(embed_tokens|wte|embed_in|word_embeddings)(\.base_layer)?\.weight$")
"""What the matrix of token embeddings is called among the tensors of weights."""


@dataclass(frozen=True)
class Site:
    """A named place at one layer (0-based)."""

    name: str
    layer: int

    def __str__(self) -> str:
        return f"{self.name}[{self.layer}]"


@dataclass(frozen=True)
class Neurons:
    """Neurons of a layer that run together: of its MLP, its routed experts, or the ones all share.

    Attributes:
        layer: Which layer.
        kind: 'mlp', 'expert' or 'shared': the first word of their sites.
        first: Number of their first neuron in the layer; neuron j of expert e is ``first + e * width + j``.
        width: Neurons of the MLP, or of one expert.
        n_experts: Routed experts; 0 where every token has all of these neurons.
    """

    layer: int
    kind: Literal["mlp", "expert", "shared"]
    first: int
    width: int
    n_experts: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.width * max(1, self.n_experts)

    @property
    def gate(self) -> Site:
        """Where their activated gates are read."""
        return Site(f"{self.kind}_gate", self.layer)

    @property
    def neuron(self) -> Site:
        """Where they are read and edited."""
        return Site(f"{self.kind}_neuron", self.layer)


@dataclass(frozen=True)
class Experts:
    """The routed experts of a layer, whose weights are fused into one tensor for all.

    Attributes:
        module: Takes hidden states, the experts of every token, and their weights.
    """

    module: Any

    @property
    def n_experts(self) -> int:
        """How many there are."""
        return int(self.module.num_experts)

    @property
    def transposed(self) -> bool:
        """Whether weights have the input's axis first."""
        return bool(getattr(self.module, "is_transposed", True))  # Llama 4 has no such attribute

    @property
    def width(self) -> int:
        """Neurons of one."""
        return int(self.module.down_proj.shape[1 if self.transposed else 2])

    @property
    def order(self) -> str:
        """How tokens and experts are laid out.

        Returns:
            'sorted': a row per pair, by expert; 'given': as the router gives them; 'all': every expert gets
            every token, zero where it is not routed (Llama 4); '' where there is not one call for all.
        """
        if not _is_fused(self.module):
            return "all" if hasattr(self.module, "expert_dim") else ""
        name = getattr(self.module.config, "_experts_implementation", None)
        return {"grouped_mm": "sorted", "batched_mm": "given"}.get(str(name), "")

    def gates(self, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Activated gates, and what they multiply, of the fused projection of rows."""
        if getattr(self.module, "is_concatenated", True):
            gate, up = projected.chunk(2, dim=-1)
        else:
            gate, up = projected[..., ::2], projected[..., 1::2]
        if hasattr(self.module, "alpha"):  # GPT-OSS
            gate, up = gate.clamp(max=self.module.limit), up.clamp(-self.module.limit, self.module.limit)
            return gate * torch.sigmoid(gate * self.module.alpha), up + 1
        return self.module.act_fn(gate), up

    def run_all(
        self,
        tokens: Float[torch.Tensor, "expert token model"],
        neurons: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> Float[torch.Tensor, "expert token model"]:
        """What experts of order 'all' do, with their neurons made of gates and what these multiply."""
        gate, up = self.gates(torch.bmm(tokens, self.module.gate_up_proj))
        return torch.bmm(neurons(gate, up), self.module.down_proj)

    def write(self, expert: int, neurons: torch.Tensor) -> torch.Tensor:
        """What one expert's neurons write, before the router's weight."""
        weight, bias = self.module.down_proj[expert], getattr(self.module, "down_proj_bias", None)
        written = neurons @ (weight if self.transposed else weight.T)
        return written if bias is None else written + bias[expert]


@dataclass(frozen=True)
class Architecture:
    """The parts of a decoder that measures need.

    Attributes:
        family: config.model_type.
        body: The decoder without the unembedding.
        layers: Its blocks, in order.
        unembedding: The projection to the vocabulary.
        config: The text model's configuration.
        n_heads: Query heads per layer; 0 where there is no such site.
        d_head: Width of one head (never hidden size / heads, which is wrong for Gemma and Qwen3).
        neurons: Per layer, its neurons; empty where it has none that can be reached.
        missing: Sites that not all layers have -> why.
        present: Site -> the layers that have it.
    """

    family: str
    body: nn.Module
    layers: nn.ModuleList
    unembedding: nn.Module
    config: Any
    n_heads: int
    d_head: int
    neurons: tuple[tuple[Neurons, ...], ...]
    missing: dict[str, str]
    present: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.layers)

    @property
    def n_neurons(self) -> int:
        """Neurons of a layer, of all experts together; of the widest one where layers differ."""
        return max(sum(part.count for part in parts) for parts in self.neurons)

    def require(self, *names: str) -> None:
        """Raise CapabilityError unless every named site exists in every layer."""
        for name in names:
            if name not in _PLACES:
                raise CapabilityError(
                    f"No site '{name}'.{nearest(name, SITES)} Choose from: {', '.join(SITES)}."
                )
            if name in self.missing or not self.present[name]:
                have = ", ".join(s for s in SITES if s not in self.missing)
                reason = self.missing.get(name, "it routes no tokens to experts")
                raise CapabilityError(f"'{self.family}' has no site '{name}': {reason}. Choose from: {have}.")

    def require_neurons(self, side: Literal["gate", "neuron"]) -> None:
        """Raise CapabilityError unless every layer has neurons, whose gates or values can be reached."""
        for layer, parts in enumerate(self.neurons):
            if not parts:
                routed = _below(self.layers[layer], _EXPERTS) is not None
                self.require(f"expert_{side}" if routed else f"mlp_{side}")
            for part in parts:
                name = f"{part.kind}_{side}"
                if layer not in self.present[name]:
                    self.require(name)

    def strike(self, name: str, reason: str) -> None:
        """Take a site that is not what it is called off the sites of all layers."""
        self.missing[name] = reason
        self.present[name] = ()

    def n_units(self, site: str) -> int:
        """Heads or neurons of a layer at one of `SITES_OF`; 0 at a site that is not of units."""
        return {SITES_OF["heads"]: self.n_heads, SITES_OF["neurons"]: self.n_neurons}.get(site, 0)

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of normed final hidden states, as the model itself computes them."""
        return unembed(self.unembedding, self.config, hidden)

    def module(self, site: Site) -> tuple[nn.Module, Side]:
        """The module of a site and which side of it to hook."""
        if not 0 <= site.layer < self.n_layers:
            self.require(site.name)
            raise CapabilityError(
                f"No layer {site.layer}: '{self.family}' has layers 0 to {self.n_layers - 1}."
            )
        if site.layer not in self.present.get(site.name, ()):
            self.require(site.name)
        module = _find(self.layers[site.layer], site.name)
        assert module is not None  # what is missing was found by locate()
        return module, _PLACES[site.name][1]

    def experts(self, layer: int) -> Experts:
        """The routed experts of a layer that has some."""
        return Experts(_below(self.layers[layer], _EXPERTS))

    def router(self, layer: int) -> nn.Module | None:
        """The module that chooses a layer's routed experts; None where there are none, or none is known."""
        block = self.layers[layer]
        for path in _EXPERTS.split("|"):
            if _below(block, path) is not None:
                return _below(block.get_submodule(path.rpartition(".")[0]), _ROUTER)
        return None

    def attention_write(self, layer: int) -> tuple[nn.Module | None, float]:
        """The module whose output attention, or what stands in its place, adds to the residual stream.

        And the factor that the layer multiplies it by.
        """
        block = self.layers[layer]
        after = "post_self_attn_layernorm"  # GLM 4
        if _normed_writes(block):
            after += "|post_attention_layernorm"
        module = _below(block, after) or _below(block, f"{_ATTENTION}|{_MIXER}")
        return module, float(getattr(self.config, "residual_multiplier", None) or 1.0)  # Granite

    def mlp(self, layer: int) -> nn.Module | None:
        """The module that is a layer's whole MLP and adds nothing else; None where there is none."""
        block = self.layers[layer]
        if "mlp_out" in self.missing or _below(block, _EXPERTS) is not None or self.family == "bloom":
            return None  # a router sees what it routes; BLOOM's MLP adds the residual stream itself
        return _below(block, _MLP)

    def up_projection(self, neurons: Neurons) -> tuple[nn.Module, int] | None:
        """The module that the gate multiplies: its output, or the last of so many parts of a fused one.

        None where there is no gate.
        """
        shared = neurons.kind == "shared"
        block = self.layers[neurons.layer]
        where: Any = _below(block, _SHARED) if shared else block
        for path, parts, gate in _SHARED_GATED if shared else _GATED:
            module = _below(where, path)
            if module is not None and (not gate or _below(where, gate) is not None):
                return module, parts
        return None

    def to_axes(self, site: Site, value: torch.Tensor, rows: Sequence[int] = ()) -> torch.Tensor:
        """Give a site's tensor its own axes: heads apart, and prompts and tokens apart.

        ``rows``: prompts and tokens, for a module that flattens them to one axis (OPT); not needed elsewhere.
        """
        if site.name == "head":
            value = value.unflatten(-1, (self.n_heads, self.d_head))
        flat = 3 if site.name == "head" else 2
        return value.unflatten(0, tuple(rows)) if rows and value.ndim == flat else value

    def from_axes(self, site: Site, value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Undo `to_axes`."""
        if site.name == "head":
            value = value.flatten(-2)
        return value.flatten(0, 1) if value.ndim > like.ndim else value


def unembed(unembedding: nn.Module, config: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Logits of normed final hidden states, as a model of this text configuration computes them."""
    logits: torch.Tensor = unembedding(hidden)
    if scale := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * scale
    if scale := getattr(config, "lm_head_multiplier", None):  # Falcon-H1
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / scale
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
    return torch.tanh(logits / cap) * cap if cap else logits


def locate(model: PreTrainedModel) -> Architecture:
    """Find the sites of a Hugging Face decoder by structure.

    Raises:
        CapabilityError: There is no stack of layers; lists what was found.
    """
    config = model.config.get_text_config()
    family = str(getattr(config, "model_type", type(model).__name__))
    body, layers = _stack(model, family)
    missing: dict[str, str] = {}
    present: dict[str, tuple[int, ...]] = {}
    for name in _PLACES:
        present[name] = tuple(i for i, layer in enumerate(layers) if _find(layer, name) is not None)
        if len(present[name]) < len(layers) and (name in SITES or _any_experts(layers)):
            missing[name] = _why_absent(layers, name)
    architecture = Architecture(
        family,
        body,
        layers,
        model.get_output_embeddings(),
        config,
        *_head_shape(config, layers, missing, present),
        tuple(tuple(_neurons(index, layer)) for index, layer in enumerate(layers)),
        missing,
        present,
    )
    _strike_separate_experts(architecture)
    return architecture


def linear_layers(model: PreTrainedModel, *, attention_only: bool = False) -> dict[str, nn.Linear]:
    """Return by name the linear layers that a LoRA adapter can be put on: all but the unembedding.

    Raises:
        CapabilityError: There is none, or none in attention.
    """
    unembedding = model.get_output_embeddings()
    attention = {path.split(".")[0] for path in _ATTENTION.split("|")}
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module is not unembedding
        and (not attention_only or attention & set(name.split(".")))
    }
    if not layers:
        where = "in modules named self_attn" if attention_only else "beside its unembedding"
        raise CapabilityError(f"'{model.config.model_type}' has no linear layers {where}.")
    return layers


def _stack(model: PreTrainedModel, family: str) -> tuple[nn.Module, nn.ModuleList]:
    """The decoder and its layers; some families return the whole model as its own decoder."""
    bodies: list[Any] = [model.get_decoder(), model.base_model, getattr(model, "model", None)]
    for body in filter(None, bodies):
        layers = _below(body, _STACK)
        if isinstance(layers, nn.ModuleList) and len(layers):
            return body, layers
    body = bodies[0]
    raise CapabilityError(
        f"'{family}' has no stack 'layers' in {type(body).__name__}; found: {_children(body)}."
    )


def _below(layer: nn.Module, paths: str) -> nn.Module | None:
    """The first of the alternative paths that exists."""
    for path in paths.split("|"):
        try:
            found = layer.get_submodule(path)
        except AttributeError:
            continue
        if found is not None:
            return found
    return None


def _any_experts(layers: nn.ModuleList) -> bool:
    return any(_below(layer, _EXPERTS) is not None for layer in layers)


def _find(layer: nn.Module, name: str) -> nn.Module | None:
    """The module of a site in a layer, or None."""
    experts = _below(layer, _EXPERTS)
    if name.startswith("shared_"):
        shared = _below(layer, _SHARED) if experts is not None else None
        return None if shared is None else _below(shared, _PLACES[name][0])
    if name.startswith("mlp_") and experts is not None:
        parent = next(path for path in _EXPERTS.split("|") if _below(layer, path) is not None)
        return _below(layer, parent.rpartition(".")[0]) if name == "mlp_out" else None
    return _below(layer, _paths(layer, name))


def _normed_writes(layer: nn.Module) -> bool:
    """Whether what attention and MLP write is normed on its way to the residual stream (OLMo2, Gemma 2)."""
    return hasattr(layer, "post_feedforward_layernorm")


def _paths(layer: nn.Module, name: str) -> str:
    """Alternative paths of a site's module below a layer."""
    if name == "resid_mid" and _normed_writes(layer):
        return "pre_feedforward_layernorm|mlp"
    return _PLACES[name][0]


def _why_absent(layers: nn.ModuleList, name: str) -> str:
    """Why not every layer has a site."""
    index, layer = next((i, layer) for i, layer in enumerate(layers) if _find(layer, name) is None)
    if name.startswith(("expert_", "shared_")):
        return f"layer {index} has no {'shared' if name.startswith('shared_') else 'routed'} experts"
    if name.startswith("mlp_") and _below(layer, _EXPERTS) is not None:
        return f"layer {index} routes tokens to experts, whose neurons are counted by 'interp specialization'"
    paths = _paths(layer, name).split("|")
    held = next((parent for path in paths if (parent := _parent(layer, path)) is not None), layer)
    return f"layer {index} has no {' or '.join(paths)} (found: {_children(held)})"


def _parent(layer: nn.Module, path: str) -> nn.Module | None:
    parent = path.rpartition(".")[0]
    return _below(layer, parent) if parent else None


def _head_shape(
    config: Any, layers: nn.ModuleList, missing: dict[str, str], present: dict[str, tuple[int, ...]]
) -> tuple[int, int]:
    """Query heads, and the width of what one gives to the output projection."""
    if not present["head"]:
        return 0, 0
    n_heads = int(config.num_attention_heads)
    projections = (_below(layer, _ATTENTION) for layer in layers)
    widths = {_width(projection) for projection in projections if projection is not None}
    width = max(widths)
    first = layers[present["head"][0]]
    path = next(path for path in _ATTENTION.split("|") if _below(first, path) is not None)
    attention: Any = _parent(first, path)
    d_head = int(
        getattr(attention, "v_head_dim", 0)  # DeepSeek: values are narrower than keys
        or getattr(attention, "head_dim", 0)
        or getattr(config, "head_dim", 0)
        or width // n_heads
    )
    reason = ""
    if len(widths) > 1:
        reason = f"its layers have output projections of {' and '.join(map(str, sorted(widths)))} inputs"
    elif n_heads * d_head != width:
        reason = (
            f"{n_heads} heads of {d_head} do not make the {width} inputs of the attention output projection"
        )
    if reason:
        missing["head"], present["head"] = reason, ()
        return 0, 0
    return n_heads, d_head


def _neurons(index: int, layer: nn.Module) -> list[Neurons]:
    """The neurons of a layer, those of routed experts first."""
    experts = _below(layer, _EXPERTS)
    if experts is None:
        down = _find(layer, "mlp_neuron")
        return [] if down is None else [Neurons(index, "mlp", 0, _width(down))]
    routed = Experts(experts)
    if not _is_fused(experts) and not routed.order:
        return []
    parts = [Neurons(index, "expert", 0, routed.width, routed.n_experts)]
    shared = _find(layer, "shared_neuron")
    return parts if shared is None else [*parts, Neurons(index, "shared", parts[0].count, _width(shared))]


def _is_fused(experts: Any) -> bool:
    """Whether experts have the interface of transformers for fused experts, with a gate."""
    return bool(getattr(experts, "has_gate", False)) and isinstance(
        getattr(experts, "down_proj", None), nn.Parameter
    )


def _strike_separate_experts(architecture: Architecture) -> None:
    """Strike off the sites of experts that do not run in one call whose rows are known."""
    for layer in architecture.present["expert_neuron"]:
        module = _below(architecture.layers[layer], _EXPERTS)
        reason = ""
        if not Experts(module).order:
            reason = f"the experts of layer {layer} ({type(module).__name__}) do not run in one call"
        if reason and _is_fused(module):
            reason += "; call model.set_experts_implementation('grouped_mm')"
        if reason:
            for name in ("expert_gate", "expert_neuron"):
                architecture.strike(name, reason)
            return


def _width(projection: nn.Module) -> int:
    """Inputs of a linear layer, or of GPT-2's transposed one; LoRA wraps either."""
    base: Any = getattr(projection, "base_layer", projection)
    return int(base.in_features if hasattr(base, "in_features") else base.nx)


def _children(module: nn.Module) -> str:
    return ", ".join(name for name, _ in module.named_children()) or "no submodules"
