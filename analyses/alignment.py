"""Align the languages of several checkpoints into one folder, and compare each with the first, fact by fact."""

from __future__ import annotations

from dataclasses import replace

from analyses.collected import activations_file, discard_activations
from analyses.series import Progress, Series, labeled, measure_series, open_checkpoints
from interp.config.alignment import AlignmentConfig
from interp.data.languages import parse_languages
from interp.data.prompts import PromptSet
from interp.data.sources import open_prompts
from interp.errors import ConfigError, DataError
from interp.model.checkpoints import Checkpoint
from interp.results.base import Provenance
from probes.alignment_results import AlignmentResult

__all__ = ["run_alignment"]


def run_alignment(config: AlignmentConfig, progress: Progress | None = None) -> Series[AlignmentResult]:
    """Align every checkpoint of a configuration, and compare each with the first.

    Every cheap thing that can be wrong is checked before a model is opened. Finished checkpoints are reused.

    Raises:
        InterpError: Bad input, damaged files, a folder that holds results of other settings, or an interruption.
    """
    from probes.collect import parse_layers

    layers = parse_layers(config.layers)
    prompts = _asked(config)
    checkpoints = open_checkpoints(config.ckpt, config.out)
    for checkpoint in checkpoints if config.fresh else []:
        discard_activations(config.out, checkpoint, config.embedding)
    return measure_series(
        checkpoints,
        config.out,
        AlignmentResult,
        "alignment",
        _question(config, prompts),
        lambda checkpoint, name, _: _measured(config, checkpoint, prompts, layers, name, progress),
        said={"prompts": f"{prompts.note}; {prompts.n_items} items"},
        fresh=config.fresh,
    )


def _asked(config: AlignmentConfig) -> PromptSet:
    """The translations, without answers."""
    languages = parse_languages(config.languages)
    if len(languages) < 2:
        raise ConfigError(f"One language ({config.languages}); alignment compares at least 2.")
    prompts = open_prompts(
        config.prompts,
        languages,
        split=config.split,
        limit=config.limit or None,
        prompt_format=config.prompt_format,
        allow_missing=config.allow_missing,
    )
    if not prompts.parallel:
        raise DataError(
            f"'{prompts.name}' is not parallel ({prompts.note}); alignment compares translations of the same lines."
        )
    if prompts.n_items < 2:
        raise DataError(
            f"One prompt in each language ({prompts.note}); retrieval among at least 2 is compared."
        )
    bare = {code: tuple(replace(p, answer="") for p in prompts.prompts[code]) for code in prompts.languages}
    return replace(prompts, prompts=bare)


def _question(config: AlignmentConfig, prompts: PromptSet) -> Provenance:
    """What a reusable result must have been asked."""
    from interp.measure.provenance import settings_of
    from probes.alignment import alignment_settings

    requested = {"dtype": config.dtype, "attention": config.attention}
    own = {"span": config.embedding, "site": "resid_post", "layers": config.layers, **alignment_settings()}
    return Provenance(prompts_digest=prompts.digest, settings=settings_of(prompts, requested, own))


def _measured(
    config: AlignmentConfig,
    checkpoint: Checkpoint,
    prompts: PromptSet,
    layers: tuple[int, ...] | None,
    name: str,
    progress: Progress | None,
) -> AlignmentResult:
    from interp.model.loading import open_checkpoint
    from probes.alignment import measure_alignment
    from probes.collect import collect

    loaded = open_checkpoint(checkpoint, dtype=config.dtype, device=config.device, attention=config.attention)
    activations = collect(
        loaded,
        prompts,
        span=config.embedding,
        layers=layers,
        batch_tokens=config.batch_tokens,
        file=activations_file(config.out, checkpoint, config.embedding),
        progress=labeled(progress, f"{name} prompts"),
    )
    return measure_alignment(
        activations, settings={"layers": config.layers}, progress=labeled(progress, f"{name} layers")
    )
