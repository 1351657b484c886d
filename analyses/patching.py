"""Patch several checkpoints, or estimate it by gradients, into one folder, and compare each with the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyses.series import Progress, Series, chosen_facts, labeled, measure_series, open_checkpoints
from interp.config.patching import PatchingConfig
from interp.data.facts import FactSet
from interp.data.languages import parse_languages
from interp.data.prompts import prompts_from_facts
from interp.errors import ConfigError
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.results.attribution import AttributionResult
from interp.results.base import Provenance
from interp.results.patching import PatchingResult

__all__ = ["parse_units", "run_patching"]

_UNITS = {"head": "heads", "mlp_neuron": "neurons"}


def run_patching(
    config: PatchingConfig, progress: Progress | None = None
) -> Series[PatchingResult] | Series[AttributionResult]:
    """Patch every checkpoint of a configuration, and compare each with the first.

    Every cheap thing that can be wrong is checked before a model is opened. Finished checkpoints are reused, an interrupted
    one continues.

    Raises:
        InterpError: Bad input, damaged files, a folder that holds results of other settings, or an interruption.
    """
    from interp.measure.patching.attribution import attribution_settings
    from interp.measure.patching.patching import patching_settings
    from interp.measure.patching.protocol import Protocol, partial_files
    from interp.measure.provenance import settings_of

    _check(config)
    units = parse_units(config.units)
    sources = _sources(config)
    targets = tuple(code for code in parse_languages(config.languages) if code not in sources)
    facts, prompt_format = chosen_facts(
        config.facts,
        (*sources, *targets),
        split=config.split,
        limit=config.limit,
        prompt_format=config.prompt_format,
        allow_missing=config.allow_missing,
    )
    spans = tuple(part.strip() for part in config.spans.split(",") if part.strip())
    protocol = Protocol(config.mode, targets, sources, spans, prompt_format)
    checkpoints = open_checkpoints(config.ckpt, config.out)
    giver = resolve_checkpoint(config.source_ckpt) if config.source_ckpt else None
    if giver and any(giver.fingerprint == checkpoint.fingerprint for checkpoint in checkpoints):
        raise ConfigError(f"--source-ckpt '{config.source_ckpt}' is patched into itself; give another one.")
    fingerprint = giver.fingerprint if giver else ""
    if config.attribution:
        own = attribution_settings(facts, protocol, _UNITS[config.site], config.verify, fingerprint)
    else:
        own = patching_settings(facts, protocol, config.site, units, config.onward, fingerprint)
    prompts = prompts_from_facts(facts, prompt_format=prompt_format)
    requested = {"dtype": config.dtype, "attention": config.attention}
    asked = Provenance(prompts_digest=prompts.digest, settings=settings_of(prompts, requested, own))

    def measure(checkpoint: Checkpoint, name: str, resume: Path) -> Any:
        return _measured(config, checkpoint, giver, facts, protocol, units, resume, name, progress)

    how: dict[str, Any] = {
        "said": {"prompts": f"{prompts.note}; {prompts.n_items} items"},
        "fresh": config.fresh,
        "leftovers": partial_files,
    }
    place = f"{config.mode}.{config.site}{'.onward' * config.onward}"
    if config.attribution:
        return measure_series(
            checkpoints, config.out, AttributionResult, f"{place}.attribution", asked, measure, **how
        )
    how["compared_by"] = {"metric": config.metric}
    return measure_series(checkpoints, config.out, PatchingResult, f"{place}.patching", asked, measure, **how)


def parse_units(text: str) -> tuple[tuple[int, ...], ...]:
    """Sets of units from ``0,3`` (one set) or ``0;1,2`` (two).

    Raises:
        ConfigError: Something is no number, or is named twice.
    """
    if not text.strip():
        return ()
    try:
        sets = tuple(tuple(int(part) for part in chosen.split(",")) for chosen in text.split(";"))
    except ValueError:
        raise ConfigError(
            f"Units '{text}' are not numbers; write 0,3 for two that are patched together, 0;3 for one after the other."
        ) from None
    if any(len(set(chosen)) < len(chosen) for chosen in sets) or len(set(sets)) < len(sets):
        raise ConfigError(f"Units '{text}' name a unit or a set twice.")
    return sets


def _check(config: PatchingConfig) -> None:
    """Refuse options that do not go together."""
    if (config.mode == "checkpoints") != bool(config.source_ckpt):
        raise ConfigError(
            "--source-ckpt and --mode checkpoints belong together: the one says where activations come from, the other that "
            "they come from another checkpoint."
        )
    if not config.attribution:
        return
    if config.site not in _UNITS:
        raise ConfigError(
            f"--attribution is for --site head or mlp_neuron, not '{config.site}': other sites have few cells, so patch them."
        )
    if config.units or config.onward:
        raise ConfigError(
            "--attribution takes every unit alone, in one layer; leave out --units and --onward."
        )


def _sources(config: PatchingConfig) -> tuple[str, ...]:
    between = config.mode in ("across", "concepts")
    if not config.sources:
        return ("en",) if between else ()
    return parse_languages(config.sources)


def _measured(
    config: PatchingConfig,
    checkpoint: Checkpoint,
    giver: Checkpoint | None,
    facts: FactSet,
    protocol: Any,
    units: tuple[tuple[int, ...], ...],
    resume: Path,
    name: str,
    progress: Progress | None,
) -> PatchingResult | AttributionResult:
    from interp.measure.patching.attribution import measure_attribution
    from interp.measure.patching.patching import measure_patching
    from interp.model.loading import open_checkpoint

    how: dict[str, Any] = {"dtype": config.dtype, "device": config.device, "attention": config.attention}
    loaded = open_checkpoint(checkpoint, **how)
    common: dict[str, Any] = {
        "source": open_checkpoint(giver, **how) if giver else None,
        "batch_tokens": config.batch_tokens,
        "resume": resume,
        "progress": labeled(progress, f"{name} runs"),
    }
    if config.attribution:
        unit = _UNITS[config.site]
        return measure_attribution(loaded, facts, protocol, unit=unit, verify=config.verify, **common)
    return measure_patching(
        loaded, facts, protocol, site=config.site, units=units, onward=config.onward, **common
    )
