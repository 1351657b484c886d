"""Measure specialization of several checkpoints into one folder: reuse what is done, continue what was cut, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from analyses.checkpoints import refuse_twins, short_names
from analyses.comparison import compare
from interp.results.noise import noise_floor
from analyses.reuse import partial_file, result_file, reusable
from analyses.series import labeled
from analyses.study import SpecializationStudy
from interp.config import SpecializationConfig
from interp.data.languages import parse_languages
from interp.data.prompts import PromptSet
from interp.data.sources import open_prompts
from interp.errors import ConfigError
from interp.files import require_room
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.results import HeadsResult, SpecializationResult, UnitResult
from interp.results.base import Provenance

if TYPE_CHECKING:
    from interp.model.loading import LoadedModel

__all__ = [
    "StudyProgress",
    "discard_units",
    "finished_units",
    "measure_units",
    "run_specialization",
    "unit_question",
]


class PassOptions(TypedDict):
    """Arguments that every measure takes."""

    n_blocks: int
    batch_tokens: int
    padding: str
    resume: Path
    progress: Callable[[int, int], None] | None


StudyProgress = Callable[[str, int, int], None]
_FEWEST_BLOCKS = 4  # a half of them needs two, see interp.results.noise
_KINDS: dict[str, type[UnitResult]] = {"neurons": SpecializationResult, "heads": HeadsResult}
_UNITS = {"neurons": ("neurons",), "heads": ("heads",), "all": ("neurons", "heads")}


def run_specialization(
    config: SpecializationConfig, progress: StudyProgress | None = None
) -> SpecializationStudy:
    """Measure every checkpoint of a configuration, and compare each with the first.

    Every cheap thing that can be wrong is checked before a model is opened.

    Raises:
        InterpError: Bad input, damaged files, a folder that holds results of other settings, or an interruption.
    """
    if not config.ckpt:
        raise ConfigError("No checkpoint: give --ckpt once or more (a folder, a hub id, or organism:final).")
    if config.blocks < _FEWEST_BLOCKS:
        raise ConfigError(f"'blocks' is {config.blocks}; a noise floor needs at least {_FEWEST_BLOCKS}.")
    prompts = open_prompts(
        config.prompts,
        parse_languages(config.languages),
        split=config.split,
        limit=config.limit or None,
        prompt_format=config.prompt_format,
        allow_missing=config.allow_missing,
    )
    if len(prompts.languages) < 2:
        raise ConfigError(f"One language ({config.languages}); specialization compares at least 2.")
    checkpoints = [resolve_checkpoint(spec) for spec in config.ckpt]
    refuse_twins(checkpoints)
    asked = {unit: unit_question(config, unit, prompts) for unit in _UNITS[config.units]}
    require_room(config.out)
    if config.fresh:
        discard_units(config, checkpoints, list(asked))
    reused = {
        (unit, i): finished_units(config, c, unit, question)
        for unit, question in asked.items()
        for i, c in enumerate(checkpoints)
    }
    study = SpecializationStudy(short_names(checkpoints), prompts)
    for i, checkpoint in enumerate(checkpoints):
        todo = [unit for unit in asked if reused[unit, i] is None]
        for unit, result in _measure(config, checkpoint, todo, prompts, progress):
            reused[unit, i] = result
    for unit in asked:
        _conclude(study, unit, [reused[unit, i] for i in range(len(checkpoints))], config.out)
        study.files.extend(result_file(config.out, c, unit) for c in checkpoints)
    return study


def _conclude(study: SpecializationStudy, unit: str, results: list[UnitResult | None], out: Path) -> None:
    found = [r for r in results if r is not None]
    study.results[unit] = found
    study.floors[unit] = [noise_floor(r) for r in found]
    study.comparisons[unit] = [
        compare(found[0], later, names=(study.names[0], name))
        for later, name in zip(found[1:], study.names[1:], strict=True)
    ]
    for name, comparison in zip(study.names[1:], study.comparisons[unit], strict=True):
        study.files.append(comparison.save(out / f"{study.names[0]}-to-{name}.{unit}.json"))


def _measure(
    config: SpecializationConfig,
    checkpoint: Checkpoint,
    units: list[str],
    prompts: PromptSet,
    progress: StudyProgress | None,
) -> list[tuple[str, UnitResult]]:
    if not units:
        return []
    from interp.model.loading import open_checkpoint

    loaded = open_checkpoint(checkpoint, dtype=config.dtype, device=config.device, attention=config.attention)
    return [(unit, measure_units(loaded, config, checkpoint, unit, prompts, progress)) for unit in units]


def measure_units(
    loaded: LoadedModel,
    config: SpecializationConfig,
    checkpoint: Checkpoint,
    unit: str,
    prompts: PromptSet,
    progress: StudyProgress | None = None,
) -> UnitResult:
    """Measure one kind of unit of an opened checkpoint, and keep the result where `finished_units` finds it."""
    from interp.measure.specialization.heads import measure_heads
    from interp.measure.specialization.neurons import measure_specialization

    options: PassOptions = {
        "n_blocks": config.blocks,
        "batch_tokens": config.batch_tokens,
        "padding": config.padding,
        "resume": partial_file(config.out, checkpoint, unit),
        "progress": labeled(progress, f"{checkpoint.name} {unit}"),
    }
    result: UnitResult
    if unit == "neurons":
        result = measure_specialization(loaded, prompts, min_tokens=config.min_tokens, **options)
    else:
        result = measure_heads(loaded, _head_prompts(config, prompts), mask=config.mask, **options)
    result.save(result_file(config.out, checkpoint, unit))
    options["resume"].unlink(missing_ok=True)
    return result


def finished_units(
    config: SpecializationConfig, checkpoint: Checkpoint, unit: str, question: Provenance
) -> UnitResult | None:
    """One kind of unit of a checkpoint, if it was measured before.

    Raises:
        ResultError: The file answers another question than the one given, or is damaged.
    """
    return reusable(
        _KINDS[unit],
        result_file(config.out, checkpoint, unit),
        question,
        {"prompts": question.run["prompts_note"]},
    )


def unit_question(config: SpecializationConfig, unit: str, prompts: PromptSet) -> Provenance:
    """The question that a reusable result must have answered.

    Raises:
        InterpError: The prompts are too few for it.
    """
    from interp.measure.provenance import settings_of
    from interp.measure.specialization.heads import head_settings, require_items
    from interp.measure.specialization.neurons import neuron_settings

    chosen = prompts if unit == "neurons" else _head_prompts(config, prompts)
    chosen.group_blocks(config.blocks)  # enough groups
    if unit == "heads":
        require_items(chosen.languages, [len(chosen.prompts[code]) for code in chosen.languages])
    own = neuron_settings(config.blocks) if unit == "neurons" else head_settings(config.blocks, config.mask)
    requested = {"dtype": config.dtype, "attention": config.attention}
    run = {"prompts_note": f"{chosen.note}; {chosen.n_items} items"}
    return Provenance(prompts_digest=chosen.digest, settings=settings_of(chosen, requested, own), run=run)


def discard_units(
    config: SpecializationConfig, checkpoints: Sequence[Checkpoint], units: Sequence[str]
) -> None:
    """Remove what the folder holds of these units, finished or not."""
    for checkpoint in checkpoints:
        for unit in units:
            result_file(config.out, checkpoint, unit).unlink(missing_ok=True)
            partial_file(config.out, checkpoint, unit).unlink(missing_ok=True)


def _head_prompts(config: SpecializationConfig, prompts: PromptSet) -> PromptSet:
    return prompts.sample(config.head_items) if config.head_items else prompts
