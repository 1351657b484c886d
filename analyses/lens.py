"""Read the layers of several checkpoints into one folder, and compare each with the first, fact by fact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.changes import Changes, compare_facts
from analyses.checkpoints import refuse_twins, short_names
from analyses.reuse import partial_file, result_file, reusable
from interp.config.lens import LensConfig
from interp.data.languages import parse_languages
from interp.data.sources import open_prompts
from interp.data.tasks import Task, open_task
from interp.errors import ConfigError, nearest
from interp.files import require_room
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.results.base import Provenance
from interp.results.lens import LensResult

if TYPE_CHECKING:
    from interp.data.prompts import PromptSet

__all__ = ["LensStudy", "run_lens"]

Progress = Callable[[str, int, int], None]
_FEW = 30  # items on which a curve of a language is not worth looking at
_UNSPOKEN = 0.01


@dataclass(frozen=True)
class LensStudy:
    """What the layers of several checkpoints say.

    Attributes:
        names: Checkpoints, in the order given.
        task: What they were asked.
        results: Per lens (``logit``, and ``tuned`` where it was asked for), one per checkpoint.
        comparisons: Per lens, of each later checkpoint with the first.
        files: Everything written or reused.
    """

    names: tuple[str, ...]
    task: Task
    results: dict[str, list[LensResult]] = field(default_factory=dict)
    comparisons: dict[str, list[Changes]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def diagnostics(self) -> list[str]:
        """What makes the results doubtful, in words; empty if nothing does."""
        first = self.results["logit"][0]
        few = [f"{c} {first.kept(c).sum()}" for c in first.languages if first.kept(c).sum() < _FEW]
        diagnostics = (
            [f"Fewer than {_FEW} facts tell these languages from the pivot: {', '.join(few)}."] if few else []
        )
        for name, result in zip(self.names, self.results["logit"], strict=True):
            said = {code: float(result.curve(code, code)[:, -1].mean()) for code in result.languages}
            if max(said.values()) < _UNSPOKEN:
                diagnostics.append(
                    f"{name}: at the output the answer has a probability below {_UNSPOKEN} in every language, at most "
                    f"{max(said.values()):.4f}. Are these prompts that the model can continue?"
                )
        return diagnostics


def run_lens(config: LensConfig, progress: Progress | None = None) -> LensStudy:
    """Read every checkpoint of a configuration, and compare each with the first.

    Every cheap thing that can be wrong is checked before a model is opened. Finished checkpoints are reused, an interrupted
    one continues; another pivot needs no model.

    Raises:
        InterpError: Bad input, damaged files, a folder that holds results of other settings, or an interruption.
    """
    task, texts = _asked(config)
    checkpoints = [resolve_checkpoint(spec) for spec in config.ckpt]
    refuse_twins(checkpoints)
    require_room(config.out)
    lenses = _lenses(config, texts)
    if config.fresh:
        for checkpoint in checkpoints:
            for lens in lenses:
                result_file(config.out, checkpoint, _kind(lens)).unlink(missing_ok=True)
                partial_file(config.out, checkpoint, _kind(lens)).unlink(missing_ok=True)
    done = {
        (lens, i): _reused(config, task, settings, result_file(config.out, checkpoint, _kind(lens)))
        for lens, settings in lenses.items()
        for i, checkpoint in enumerate(checkpoints)
    }
    study = LensStudy(short_names(checkpoints), task)
    for i, (checkpoint, name) in enumerate(zip(checkpoints, study.names, strict=True)):
        todo = {lens: settings for lens, settings in lenses.items() if done[lens, i] is None}
        for lens, measured in _measured(config, checkpoint, todo, task, texts, name, progress):
            done[lens, i] = measured
    for lens in lenses:
        found = [result for i in range(len(checkpoints)) if (result := done[lens, i]) is not None]
        study.results[lens] = found
        study.files.extend(result_file(config.out, checkpoint, _kind(lens)) for checkpoint in checkpoints)
        study.comparisons[lens] = [
            compare_facts(found[0], later, names=(study.names[0], name))
            for later, name in zip(found[1:], study.names[1:], strict=True)
        ]
    return study


def _asked(config: LensConfig) -> tuple[Task, PromptSet]:
    """The prompts, and what a tuned lens is fitted on."""
    if not config.ckpt:
        raise ConfigError("No checkpoint: give --ckpt once or more (a folder, a hub id, or organism:final).")
    languages = parse_languages(config.languages)
    if len(languages) < 2:
        raise ConfigError(
            f"One language ({config.languages}); a lens compares at least one other with the pivot."
        )
    if config.pivot not in languages:
        raise ConfigError(
            f"The pivot '{config.pivot}' is not one of the languages {' '.join(languages)}.{nearest(config.pivot, languages)}"
        )
    if config.shots is not None and config.shots < 0:
        raise ConfigError(f"'shots' is {config.shots}; a number of at least 0 is expected.")
    if config.source and config.prompts != "translation":
        raise ConfigError(
            f"'source' is '{config.source}', but only a translation has one; prompts are '{config.prompts}'."
        )
    if config.tuned_text and not config.tuned:
        raise ConfigError(
            f"'tuned_text' is '{config.tuned_text}', but no tuned lens is asked for; add --tuned."
        )
    if min(config.tuned_positions, config.tuned_steps) < 1:
        raise ConfigError("'tuned_positions' and 'tuned_steps' must be 1 or more.")
    task = open_task(
        config.prompts,
        languages,
        pivot=config.pivot,
        split=config.split,
        limit=config.limit or None,
        shots=config.shots,
        prompt_format=config.prompt_format,
        source=config.source,
        allow_missing=config.allow_missing,
    )
    if not config.tuned_text:
        return task, task.prompts
    return task, open_prompts(config.tuned_text, languages, allow_missing=config.allow_missing)


def _lenses(config: LensConfig, texts: PromptSet) -> dict[str, dict[str, Any]]:
    """Lens to the settings that decide it, beside those of all."""
    from interp.measure.lens.tuned import tuned_settings

    lenses: dict[str, dict[str, Any]] = {"logit": {}}
    if config.tuned:
        lenses["tuned"] = tuned_settings(texts, config.tuned_positions, config.tuned_steps)
    return lenses


def _reused(config: LensConfig, task: Task, settings: dict[str, Any], file: Path) -> LensResult | None:
    """A finished result, compared with the pivot that is asked for."""
    from interp.measure.lens.lens import lens_settings
    from interp.measure.provenance import settings_of

    if not file.exists():
        return None
    requested = {"dtype": config.dtype, "attention": config.attention}
    pivot = LensResult.load(file).pivot
    own = {**lens_settings(config.position, config.tokens, task.subjects), **settings, "pivot": pivot}
    prompts = task.prompts
    asked = Provenance(prompts_digest=prompts.digest, settings=settings_of(prompts, requested, own))
    note = {"prompts": f"{prompts.note}; {prompts.n_items} items"}
    result = reusable(LensResult, file, asked, note)
    if result is not None and pivot != config.pivot:
        result = result.with_pivot(config.pivot)
        result.save(file)
    return result


def _measured(
    config: LensConfig,
    checkpoint: Checkpoint,
    lenses: dict[str, dict[str, Any]],
    task: Task,
    texts: PromptSet,
    name: str,
    progress: Progress | None,
) -> list[tuple[str, LensResult]]:
    if not lenses:
        return []
    from interp.measure.lens.lens import measure_lens
    from interp.measure.lens.tuned import fit_tuned_lens
    from interp.model.loading import open_checkpoint

    loaded = open_checkpoint(checkpoint, dtype=config.dtype, device=config.device, attention=config.attention)
    measured = []
    for lens, settings in lenses.items():
        fitted = None
        if lens == "tuned":
            fitted = fit_tuned_lens(
                loaded,
                texts,
                positions=config.tuned_positions,
                steps=config.tuned_steps,
                batch_tokens=config.batch_tokens,
                progress=_labeled(progress, f"{name} fit"),
            )
        resume = partial_file(config.out, checkpoint, _kind(lens))
        result = measure_lens(
            loaded,
            task.prompts,
            pivot=config.pivot,
            position=config.position,
            subjects=task.subjects,
            tokens=config.tokens,
            translate=fitted.translators if fitted else None,
            settings=settings,
            batch_tokens=config.batch_tokens,
            resume=resume,
            progress=_labeled(progress, f"{name} {lens} lens"),
        )
        result.provenance.run.update(fitted.describe() if fitted else {})
        result.save(result_file(config.out, checkpoint, _kind(lens)))
        resume.unlink(missing_ok=True)
        measured.append((lens, result))
    return measured


def _kind(lens: str) -> str:
    return "lens" if lens == "logit" else f"{lens}-lens"


def _labeled(progress: Progress | None, label: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(label, done, total)
