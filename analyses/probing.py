"""Probe the layers of several checkpoints into one folder, and compare each with the first, fact by fact."""

from __future__ import annotations

from typing import Any

from analyses.behavior import run_evaluation
from analyses.collected import activations_file, discard_activations
from analyses.reuse import partial_file, result_file
from analyses.series import Progress, Series, chosen_facts, labeled, measure_series, open_checkpoints
from interp.config import EvaluationConfig
from interp.config.probing import ProbingConfig
from interp.data.facts import FactSet
from interp.data.languages import parse_languages
from interp.data.prompts import PromptSet, prompts_from_facts
from interp.errors import ConfigError
from interp.model.checkpoints import Checkpoint
from interp.results.base import Provenance
from probes.results import ProbeResult
from probes.tasks import Task, answer_task, language_task, right_task

__all__ = ["run_probing"]


def run_probing(config: ProbingConfig, progress: Progress | None = None) -> Series[ProbeResult]:
    """Probe every checkpoint of a configuration, and compare each with the first.

    Every cheap thing that can be wrong is checked before a model is opened. Finished checkpoints are reused; activations are
    collected once and kept in the folder where they are large, for another task at the same span.

    Raises:
        InterpError: Bad input, damaged files, a folder that holds results of other settings, or an interruption.
    """
    from probes.collect import parse_layers

    if not 0 <= config.l2 < float("inf"):
        raise ConfigError(f"'l2' is {config.l2}; a number of at least 0 is expected.")
    layers = parse_layers(config.layers)
    facts, prompt_format = chosen_facts(
        config.facts,
        parse_languages(config.languages),
        split=config.split,
        limit=config.limit,
        prompt_format=config.prompt_format,
        allow_missing=config.allow_missing,
    )
    prompts = prompts_from_facts(facts, prompt_format=prompt_format, answer=False)
    _refuse_hopeless(config, facts)
    checkpoints = open_checkpoints(config.ckpt, config.out)
    if config.fresh:
        _discard(config, checkpoints)
    return measure_series(
        checkpoints,
        config.out,
        ProbeResult,
        f"{config.task}.probe",
        _question(config, facts, prompts),
        lambda checkpoint, name, _: _measured(config, checkpoint, facts, prompts, layers, name, progress),
        said={"prompts": f"{prompts.note}; {prompts.n_items} items"},
        fresh=config.fresh,
    )


def _refuse_hopeless(config: ProbingConfig, facts: FactSet) -> None:
    """Find out without a model whether the facts will do."""
    from probes.linear import grouped_folds
    from probes.sweep import task_folds

    groups = tuple(fact.group for fact in facts)
    if config.task == "right":  # its labels need the model's answers
        grouped_folds(groups, config.folds)
    else:
        task = language_task(facts) if config.task == "language" else answer_task(facts, config.folds)
        task_folds(task, groups, config.folds)


def _question(config: ProbingConfig, facts: FactSet, prompts: PromptSet) -> Provenance:
    """What a reusable result must have been asked."""
    from interp.measure.provenance import settings_of
    from probes.sweep import probe_settings

    requested = {"dtype": config.dtype, "attention": config.attention}
    own: dict[str, Any] = {
        "span": config.span,
        "site": config.site,
        "layers": config.layers,
        **probe_settings(facts, config.task, folds=config.folds, l2=config.l2, seed=config.seed),
        **_extra(config),
    }
    return Provenance(prompts_digest=prompts.digest, settings=settings_of(prompts, requested, own))


def _extra(config: ProbingConfig) -> dict[str, Any]:
    """Settings of one task only."""
    return {"normalization": config.normalization} if config.task == "right" else {}


def _measured(
    config: ProbingConfig,
    checkpoint: Checkpoint,
    facts: FactSet,
    prompts: PromptSet,
    layers: tuple[int, ...] | None,
    name: str,
    progress: Progress | None,
) -> ProbeResult:
    from interp.model.loading import open_checkpoint
    from probes.collect import collect
    from probes.sweep import sweep

    task = _task(config, checkpoint, facts, progress)
    loaded = open_checkpoint(checkpoint, dtype=config.dtype, device=config.device, attention=config.attention)
    subjects = {
        (column, fact.fact_id): fact.wording[code].subject
        for column, code in enumerate(facts.languages)
        for fact in facts
    }
    activations = collect(
        loaded,
        prompts,
        span=config.span,
        layers=layers,
        site=config.site,
        subjects=subjects,
        batch_tokens=config.batch_tokens,
        file=activations_file(config.out, checkpoint, config.span),
        progress=labeled(progress, f"{name} prompts"),
    )
    return sweep(
        activations,
        facts,
        task,
        folds=config.folds,
        l2=config.l2,
        seed=config.seed,
        settings={"layers": config.layers, **_extra(config)},
        progress=labeled(progress, f"{name} layers"),
    )


def _task(config: ProbingConfig, checkpoint: Checkpoint, facts: FactSet, progress: Progress | None) -> Task:
    if config.task == "language":
        return language_task(facts)
    if config.task == "answer":
        return answer_task(facts, config.folds)
    evaluation = EvaluationConfig(
        ckpt=(checkpoint.spec,),
        benchmark=config.facts,
        languages=config.languages,
        out=config.out,
        split=config.split,
        limit=config.limit,
        prompt_format=config.prompt_format,
        batch_tokens=config.batch_tokens,
        device=config.device,
        dtype=config.dtype,
        attention=config.attention,
        allow_missing=config.allow_missing,
    )
    answers = run_evaluation(evaluation, progress).results[0]
    assert (answers.fact_ids, answers.languages) == (tuple(f.fact_id for f in facts), facts.languages)
    return right_task(facts, answers.credit(config.normalization), config.folds)


def _discard(config: ProbingConfig, checkpoints: list[Checkpoint]) -> None:
    """Remove activations, and the answers that decide the labels."""
    for checkpoint in checkpoints:
        discard_activations(config.out, checkpoint, config.span)
        if config.task == "right":
            result_file(config.out, checkpoint, "behavior").unlink(missing_ok=True)
            partial_file(config.out, checkpoint, "behavior").unlink(missing_ok=True)
