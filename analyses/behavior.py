"""Ask several checkpoints the same facts into one folder, and compare each with the first, fact by fact."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from analyses.asked import EvaluationPlan, asked_facts
from analyses.changes import Changes, compare_facts
from analyses.checkpoints import refuse_twins, short_names
from analyses.reuse import partial_file, result_file, reusable
from interp.config import EvaluationConfig
from interp.errors import ConfigError
from interp.files import require_room
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.results.answers import AnswersResult
from interp.results.base import Provenance
from interp.stats import holm

__all__ = ["BehaviorStudy", "clustered", "diagnostics_of", "run_evaluation"]

Progress = Callable[[str, int, int], None]

_ALPHA = 0.05


@dataclass(frozen=True)
class BehaviorStudy:
    """What several checkpoints answered.

    Attributes:
        names: Checkpoints, in the order given.
        asked: What they were asked.
        reading: How an answer was read off: a normalization, or when a text names the answer.
        results: One per checkpoint.
        comparisons: Of each later checkpoint with the first.
        files: Everything written or reused.
    """

    names: tuple[str, ...]
    asked: EvaluationPlan
    reading: str
    results: list[AnswersResult] = field(default_factory=list)
    comparisons: list[Changes] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def diagnostics(self) -> list[str]:
        """What makes the results doubtful, in words; empty if nothing does."""
        return [
            diagnostic
            for name, result in zip(self.names, self.results, strict=True)
            for diagnostic in diagnostics_of(name, result, self.reading)
        ]


def run_evaluation(config: EvaluationConfig, progress: Progress | None = None) -> BehaviorStudy:
    """Ask every checkpoint of a configuration, and compare each with the first.

    Finished checkpoints are reused, an interrupted one continues; another way to read the answers needs no model.

    Raises:
        InterpError: Bad input, damaged files, a folder that holds answers to other questions, or an interruption.
    """
    if not config.ckpt:
        raise ConfigError("No checkpoint: give --ckpt once or more (a folder, a hub id, or organism:final).")
    asked = asked_facts(config)
    checkpoints = [resolve_checkpoint(spec) for spec in config.ckpt]
    refuse_twins(checkpoints)
    require_room(config.out)
    reading = asked.reading
    study = BehaviorStudy(short_names(checkpoints), asked, reading)
    kind = asked.kind
    question = Provenance(
        prompts_digest=asked.prompts.digest,
        settings={
            "languages": list(asked.facts.languages),
            "dtype": config.dtype,
            "attention": config.attention,
            **asked.settings,
        },
    )
    if config.fresh:
        for checkpoint in checkpoints:
            result_file(config.out, checkpoint, kind.kind).unlink(missing_ok=True)
            partial_file(config.out, checkpoint, kind.kind).unlink(missing_ok=True)
    files = [result_file(config.out, checkpoint, kind.kind) for checkpoint in checkpoints]
    done = [reusable(kind, file, question) for file in files]
    for checkpoint, name, file, result in zip(checkpoints, study.names, files, done, strict=True):
        study.results.append(result or _measured(file, config, checkpoint, asked, name, progress))
        study.files.append(file)
    study.results[:] = [clustered(result, config.cluster) for result in study.results]
    first = study.results[0]
    for name, later in zip(study.names[1:], study.results[1:], strict=True):
        study.comparisons.append(compare_facts(first, later, names=(study.names[0], name), reading=reading))
    return study


def clustered(result: AnswersResult, cluster: str) -> AnswersResult:
    """Return a result whose clusters are its groups of facts, single facts, or all facts of one answer.

    Raises:
        ConfigError: Answers are letters, which unrelated facts share.
    """
    letters = {answer for answer in result.answers if len(answer) == 1 and answer.isascii()}
    if cluster == "answer" and letters:
        raise ConfigError(
            f"The answers are letters ({', '.join(sorted(letters))}), which unrelated facts share, so they "
            "are no clusters. Use --cluster group, or fact."
        )
    groups = {"group": result.groups, "fact": result.fact_ids, "answer": result.answers}[cluster]
    changed: AnswersResult = dataclasses.replace(result, groups=groups)
    return changed


def diagnostics_of(name: str, result: AnswersResult, reading: str) -> list[str]:
    """What makes a result doubtful: few clusters, or no language above chance (Holm over languages)."""
    found, few = result.by_language(reading), [f"{name}: {text}" for text in result.diagnostics()]
    above = found.low > result.chance
    if result.chance:
        above = (found.accuracy > result.chance) & (holm(found.p.to_numpy()) < _ALPHA)
    if above.any():
        return few
    return [
        *few,
        f"{name}: accuracy is not above chance ({result.chance:.3f}) in any language, at most "
        f"{found.accuracy.max():.3f}. Is the prompt_format what the model knows?",
    ]


def _measured(
    file: Path,
    config: EvaluationConfig,
    checkpoint: Checkpoint,
    asked: EvaluationPlan,
    name: str,
    progress: Progress | None,
) -> AnswersResult:
    from interp.measure.behavior.choice import measure_behavior
    from interp.measure.behavior.generation import measure_generation
    from interp.model.loading import open_checkpoint

    loaded = open_checkpoint(checkpoint, dtype=config.dtype, device=config.device, attention=config.attention)
    resume = partial_file(config.out, checkpoint, asked.kind.kind)
    shown = (lambda done, total: progress(f"{name} questions", done, total)) if progress else None
    result: AnswersResult
    if config.mode == "mcq":
        result = measure_behavior(
            loaded,
            asked.facts,
            prompt_format=asked.prompt_format,
            batch_tokens=config.batch_tokens,
            resume=resume,
            progress=shown,
        )
    else:
        result = measure_generation(
            loaded,
            asked.facts,
            asked.prompts,
            new_tokens=asked.new_tokens,
            stop=asked.stop,
            protocol=asked.protocol,
            batch_tokens=config.batch_tokens,
            resume=resume,
            progress=shown,
        )
    result.save(file)
    resume.unlink(missing_ok=True)
    return result
