"""Read and edit sites during a forward pass: hooks are always removed, and must have fired."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from interp.errors import CapabilityError
from interp.model.experts import Routed, watched_experts
from interp.model.sites import Architecture, Site

__all__ = ["editing", "reading"]

Reader = Callable[[Any, Site], None]
Editor = Callable[[Any, Site], torch.Tensor]
_MAY_BE_FLAT = ("mlp", "shared", "resid_mid")  # sites where some families have prompts and tokens in one axis


@contextmanager
def reading(architecture: Architecture, readers: Mapping[Site, Reader]) -> Iterator[None]:
    """Call ``reader(value, site)`` with each site's tensor, with the site's axes, while the context is open.

    The tensor is the live one: reduce it in the reader, and do not keep it. At the sites of experts the
    value is an `interp.model.experts.Routed`.

    Raises:
        CapabilityError: A site does not exist, or no forward pass reached it.
    """

    def keep(value: Any, site: Site) -> Any:
        readers[site](value, site)
        return value

    with _hooked(architecture, dict.fromkeys(readers, keep), write=False):
        yield


@contextmanager
def editing(architecture: Architecture, editors: Mapping[Site, Editor]) -> Iterator[None]:
    """Replace each site's tensor by ``editor(value, site)`` while the context is open.

    At the sites of experts the value is an `interp.model.experts.Routed`, whose ``values`` are replaced.

    Raises:
        CapabilityError: A site does not exist, or no forward pass reached it.
        ValueError: An editor changed the shape.
    """
    with _hooked(architecture, editors, write=True):
        yield


@contextmanager
def _hooked(architecture: Architecture, editors: Mapping[Site, Editor], write: bool) -> Iterator[None]:
    fired: set[Site] = set()
    rows: dict[int, torch.Size] = {}
    routed: dict[int, dict[str, Any]] = {}
    with ExitStack() as stack:
        for site, editor in sorted(editors.items(), key=lambda pair: pair[0].name == "resid_mid"):
            module, side = architecture.module(site)
            if site.name.startswith("expert"):
                routed.setdefault(site.layer, {})[site.name] = _watcher(site, editor, fired, write)
                continue
            if site.name.startswith(_MAY_BE_FLAT):
                stack.callback(_remember_rows(architecture, site.layer, rows).remove)
            apply = _applier(architecture, site, editor, fired, write, rows)
            if write and site.name == "resid_mid":
                handles = list(_rewriting_attention(architecture, site.layer, apply))
            elif side == "input":
                handles = [module.register_forward_pre_hook(_on_input(apply, write), with_kwargs=True)]
            else:
                handles = [module.register_forward_hook(_on_output(apply, write))]
            for handle in handles:
                stack.callback(handle.remove)
        for layer, watchers in routed.items():
            stack.enter_context(watched_experts(architecture, layer, watchers))
        yield
    silent = [site for site in editors if site not in fired]
    if silent:
        module, _ = architecture.module(silent[0])
        raise CapabilityError(
            f"{len(silent)} of {len(editors)} sites never fired, first {silent[0]} ({type(module).__name__} "
            f"of '{architecture.family}'): was a forward pass run inside the context?"
        )


def _remember_rows(architecture: Architecture, layer: int, rows: dict[int, torch.Size]) -> Any:
    """Keep how many prompts and tokens enter a layer, for a module below it that sees them in one axis."""

    def keep(value: torch.Tensor) -> torch.Tensor:
        rows[layer] = value.shape[:2]
        return value

    return architecture.layers[layer].register_forward_pre_hook(_on_input(keep, False), with_kwargs=True)


def _watcher(site: Site, editor: Editor, fired: set[Site], write: bool) -> Callable[..., Any]:
    def watch(routed: Routed, site: Site) -> torch.Tensor | None:
        fired.add(site)
        new = editor(routed, site)
        if not write:
            return None
        _require_shape(site, routed.values, new)
        return new

    return watch


def _applier(
    architecture: Architecture,
    site: Site,
    editor: Editor,
    fired: set[Site],
    write: bool,
    rows: dict[int, torch.Size],
) -> Callable[[torch.Tensor], torch.Tensor]:
    def apply(raw: torch.Tensor) -> torch.Tensor:
        fired.add(site)
        new = editor(architecture.to_axes(site, raw, rows.get(site.layer, ())), site)
        if not write:
            return raw
        new = architecture.from_axes(site, new, raw)
        _require_shape(site, raw, new)
        return new

    return apply


def _require_shape(site: Site, raw: torch.Tensor, new: torch.Tensor) -> None:
    if new.shape != raw.shape:
        raise ValueError(f"the editor of {site} turned shape {tuple(raw.shape)} into {tuple(new.shape)}")


def _rewriting_attention(
    architecture: Architecture, layer: int, apply: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[Any]:
    """Edit the stream after attention through what attention adds to it.

    No module stands where both readers branch off.
    """
    writer, scale = architecture.attention_write(layer)
    assert writer is not None  # otherwise the self-check struck the site off
    entered: list[torch.Tensor] = []

    def rewrite(added: torch.Tensor) -> torch.Tensor:
        before = entered.pop().to(added.device)
        between = before + added * scale
        new = apply(between)
        if torch.is_grad_enabled():
            return (new - before) / scale  # what the gradient has to see
        return added + (new - between) / scale  # the same, and no bit changes where nothing is edited

    def keep(value: torch.Tensor) -> torch.Tensor:
        entered[:] = [value]
        return value

    yield architecture.layers[layer].register_forward_pre_hook(_on_input(keep, False), with_kwargs=True)
    yield writer.register_forward_hook(_on_output(rewrite, True))


def _on_input(apply: Callable[[torch.Tensor], torch.Tensor], write: bool) -> Callable[..., Any]:
    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            new = apply(args[0])
            return ((new, *args[1:]), kwargs) if write else None
        new = apply(kwargs["hidden_states"])
        return (args, {**kwargs, "hidden_states": new}) if write else None

    return hook


def _on_output(apply: Callable[[torch.Tensor], torch.Tensor], write: bool) -> Callable[..., Any]:
    def hook(module: Any, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):  # some families still return a tuple from a layer
            new = apply(output[0])
            return (new, *output[1:]) if write else None
        new = apply(output)
        return new if write else None

    return hook
