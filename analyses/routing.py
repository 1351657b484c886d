"""Measure the routes of several checkpoints into one folder, and compare each with the first, fact by fact."""

from __future__ import annotations

from pathlib import Path

from analyses.series import Progress, Series, chosen_facts, labeled, measure_series, open_checkpoints
from interp.config.routing import RoutingConfig
from interp.data.languages import parse_languages
from interp.data.partners import pair_facts
from interp.data.prompts import prompts_from_facts
from interp.errors import ConfigError
from interp.model.checkpoints import Checkpoint
from interp.results.base import Provenance
from interp.results.routing import RoutingResult

__all__ = ["run_routing"]

_UNITS = {"heads": ("heads",), "neurons": ("neurons",), "all": ("heads", "neurons")}


def run_routing(config: RoutingConfig, progress: Progress | None = None) -> Series[RoutingResult]:
    """Attribute the answers of every checkpoint of a configuration, and compare each with the first.

    Every cheap thing that can be wrong is checked before a model is opened. Finished checkpoints are reused, an interrupted
    one continues.

    Raises:
        InterpError: Bad input, damaged files, a folder that holds results of other settings, or an interruption.
    """
    from interp.measure.provenance import settings_of
    from interp.measure.routing.routing import routing_settings

    languages = parse_languages(config.languages)
    if len(languages) < 2:
        raise ConfigError(f"One language ({config.languages}); an overlap is between at least 2.")
    if not 0 < config.top < 1:
        raise ConfigError(f"'top' is {config.top}; a share of the units above 0 and below 1 is expected.")
    facts, prompt_format = chosen_facts(
        config.facts,
        languages,
        split=config.split,
        limit=config.limit,
        prompt_format=config.prompt_format,
        allow_missing=config.allow_missing,
    )
    pair_facts(facts)
    checkpoints = open_checkpoints(config.ckpt, config.out)
    units, prompts = _UNITS[config.units], prompts_from_facts(facts, prompt_format=prompt_format)
    requested = {"dtype": config.dtype, "attention": config.attention}
    own = routing_settings(facts, units, config.top, prompt_format)
    asked = Provenance(prompts_digest=prompts.digest, settings=settings_of(prompts, requested, own))

    def measure(checkpoint: Checkpoint, name: str, resume: Path) -> RoutingResult:
        from interp.measure.routing.routing import measure_routing
        from interp.model.loading import open_checkpoint

        loaded = open_checkpoint(
            checkpoint, dtype=config.dtype, device=config.device, attention=config.attention
        )
        return measure_routing(
            loaded,
            facts,
            units=units,
            top=config.top,
            prompt_format=prompt_format,
            batch_tokens=config.batch_tokens,
            resume=resume,
            progress=labeled(progress, f"{name} routes"),
        )

    return measure_series(
        checkpoints,
        config.out,
        RoutingResult,
        "routing",
        asked,
        measure,
        said={"prompts": f"{prompts.note}; {prompts.n_items} items"},
        fresh=config.fresh,
    )
