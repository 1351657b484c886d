"""Remove each language's units from several checkpoints into one folder, and compare each with the first, fact by fact."""

from __future__ import annotations

from pathlib import Path

from analyses.reuse import result_file
from analyses.series import Progress, Series, chosen_facts, labeled, measure_series, open_checkpoints
from analyses.specialization import discard_units, finished_units, measure_units, unit_question
from interp.config.ablation import AblationConfig
from interp.config.specialization import SpecializationConfig
from interp.data.languages import parse_languages
from interp.data.prompts import prompts_from_facts
from interp.data.sources import open_prompts
from interp.errors import ConfigError
from interp.model.checkpoints import Checkpoint
from interp.results.ablation import AblationResult
from interp.results.base import Provenance

__all__ = ["run_ablation"]


def run_ablation(config: AblationConfig, progress: Progress | None = None) -> Series[AblationResult]:
    """Ablate every checkpoint of a configuration, each its own units, and compare each with the first.

    The units are selected by what `interp specialization` measures, on the facts of the split; that result is kept in the
    folder too, and reused. Every cheap thing that can be wrong is checked before a model is opened. Finished checkpoints are
    reused, an interrupted one continues.

    Raises:
        InterpError: Bad input, damaged files, a folder that holds results of other settings, or an interruption.
    """
    from interp.measure.ablation.ablation import ablation_settings
    from interp.measure.provenance import settings_of

    languages = parse_languages(config.languages)
    if len(languages) < 2:
        raise ConfigError(
            f"One language ({config.languages}); its own units are told from another's, so at least 2 are needed."
        )
    if config.draws < 1:
        raise ConfigError("'draws' is 0; without random units no harm can be called a language's own.")
    if config.rule == "important" and config.units != "heads":
        raise ConfigError("--rule important is of heads; the importance of neurons is not measured.")
    facts, prompt_format = chosen_facts(
        config.facts,
        languages,
        split=config.split,
        limit=config.limit,
        prompt_format=config.prompt_format,
        allow_missing=config.allow_missing,
    )
    selecting = _selecting(config, prompt_format)
    read = open_prompts(
        config.facts,
        languages,
        split=config.split,
        limit=config.read or None,
        prompt_format=prompt_format,
        allow_missing=config.allow_missing,
    )
    question = unit_question(selecting, config.units, read)
    checkpoints = open_checkpoints(config.ckpt, config.out)
    suffix = f"{config.units}.ablation"
    if config.fresh:
        discard_units(selecting, checkpoints, [config.units])
    selections = {
        checkpoint.fingerprint: finished_units(selecting, checkpoint, config.units, question)
        for checkpoint in checkpoints
        if config.fresh or not result_file(config.out, checkpoint, suffix).exists()
    }
    prompts = prompts_from_facts(facts, prompt_format=prompt_format)
    own = ablation_settings(
        facts,
        read,
        units=config.units,
        blocks=selecting.blocks,
        count=config.count,
        rule=config.rule,
        mode=config.mode,
        draws=config.draws,
        seed=config.seed,
        prompt_format=prompt_format,
    )
    requested = {"dtype": config.dtype, "attention": config.attention}
    asked = Provenance(prompts_digest=prompts.digest, settings=settings_of(prompts, requested, own))

    def measure(checkpoint: Checkpoint, name: str, resume: Path) -> AblationResult:
        from interp.measure.ablation.ablation import measure_ablation
        from interp.model.loading import open_checkpoint

        loaded = open_checkpoint(
            checkpoint, dtype=config.dtype, device=config.device, attention=config.attention
        )
        selection = selections[checkpoint.fingerprint] or measure_units(
            loaded, selecting, checkpoint, config.units, read, progress
        )
        return measure_ablation(
            loaded,
            facts,
            selection,
            read,
            count=config.count,
            rule=config.rule,
            mode=config.mode,
            draws=config.draws,
            seed=config.seed,
            prompt_format=prompt_format,
            batch_tokens=config.batch_tokens,
            resume=resume,
            progress=labeled(progress, f"{name} without {config.units}"),
        )

    return measure_series(
        checkpoints,
        config.out,
        AblationResult,
        suffix,
        asked,
        measure,
        said={"prompts": f"{prompts.note}; {prompts.n_items} items"},
        fresh=config.fresh,
    )


def _selecting(config: AblationConfig, prompt_format: str) -> SpecializationConfig:
    """How the units are measured that are selected from."""
    return SpecializationConfig(
        prompts=config.facts,
        languages=config.languages,
        units=config.units,
        out=config.out,
        split=config.split,
        limit=config.read,
        prompt_format=prompt_format,
        head_items=0,
        min_tokens=config.min_tokens,
        batch_tokens=config.batch_tokens,
        device=config.device,
        dtype=config.dtype,
        attention=config.attention,
        allow_missing=config.allow_missing,
    )
