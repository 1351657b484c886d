"""Probe every layer: train on some facts, test on others, in the same language and in every other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from interp.data.facts import FactSet
from interp.errors import DataError
from probes.collect import Activations
from probes.linear import LinearProbe, choose_l2, fit_probe, grouped_folds
from probes.results import ProbeResult
from probes.settings import ProbeSettings
from probes.tasks import UNASKED, Task

__all__ = ["held_out_guesses", "measure_probes", "task_folds"]

Progress = Callable[[int, int], None]


def measure_probes(
    activations: Activations,
    facts: FactSet,
    task: Task,
    settings: ProbeSettings | None = None,
    *,
    progress: Progress | None = None,
) -> ProbeResult:
    """Probe every layer for a task and for its control.

    Args:
        activations: Of the facts' prompts.
        facts: In the same order.
        task: What is read.
        settings: Folds of the cross-validation, no group of facts in two of them, whatever the language; the
            penalty per example (`probes.linear.fit_probe`; 0: chosen for every training set by `choose_l2`);
            the seed of the control labels.
        progress: Called with layers done and layers in all.

    Raises:
        DataError: Activations and facts are not of the same items.
        MeasurementError: There are fewer groups of facts than folds.
    """
    fact_ids = tuple(fact.fact_id for fact in facts)
    items = tuple(p.item_id for p in activations.prompts.prompts[activations.prompts.languages[0]])
    if (items, activations.prompts.languages) != (fact_ids, facts.languages):
        raise DataError("The activations are not of these facts in these languages, in this order.")
    settings = replace(settings or ProbeSettings(), task=task.name)
    groups, l2 = tuple(fact.group for fact in facts), settings.l2
    dealt = task_folds(task, groups, settings.folds)
    control = task.control(settings.seed)
    by_layer, unconverged = [], 0
    for index in range(len(activations.layers)):
        values = np.asarray(activations.values[index])
        layer = []
        for labels in (task.labels, control):
            guesses, failed = _by_stratum(values, labels, task, dealt, groups, l2)
            layer.append(
                np.where(guesses == UNASKED, UNASKED, guesses == labels.T[None, None]).astype(np.int8)
            )
            unconverged += failed
        by_layer.append(layer)
        if progress:
            progress(index + 1, len(activations.layers))
    provenance = activations.provenance
    read: dict[str, Any] = {
        name: provenance.settings[name] for name in ("positions", "site") if name in provenance.settings
    }
    decided: dict[str, Any] = {
        **provenance.settings,
        **settings.stored(),
        **read,
        "facts_digest": facts.digest,
    }
    run = {**provenance.run, "seed": settings.seed, "unconverged_fits": unconverged}
    return ProbeResult(
        languages=facts.languages,
        fact_ids=fact_ids,
        groups=groups,
        strata=task.strata,
        task=task.name,
        classes=task.classes,
        layers=activations.layers,
        trained_on=("all",) if task.joint else facts.languages,
        offsets=("raw",) if task.joint else ("raw", "centered"),
        labels=task.labels,
        control_labels=control,
        folds=dealt,
        correct=np.stack([layer[0] for layer in by_layer], axis=1),
        control=np.stack([layer[1] for layer in by_layer], axis=1),
        left_out=task.left_out,
        provenance=replace(provenance, settings=decided, run=run),
    )


def task_folds(task: Task, groups: tuple[str, ...], n_folds: int) -> Int[np.ndarray, " fact"]:
    """Deal each stratum's facts to folds; balanced by label where a fact has one label in all languages."""
    names, strata = np.array(groups), np.array(task.strata)
    labeled = (task.labels != UNASKED).any(axis=1)
    folds = np.full(len(groups), UNASKED)
    for stratum in sorted(set(strata[labeled].tolist())):
        rows = np.flatnonzero((strata == stratum) & labeled)
        own = task.labels[rows, 0] if task.name == "answer" else None
        folds[rows] = grouped_folds(names[rows].tolist(), n_folds, own)
    return folds


def _by_stratum(
    values: Float[np.ndarray, "fact language model"],
    labels: Int[np.ndarray, "fact language"],
    task: Task,
    folds: Int[np.ndarray, " fact"],
    groups: tuple[str, ...],
    l2: float,
) -> tuple[Int[np.ndarray, "offset train test fact"], int]:
    n_languages = labels.shape[1]
    shape = (1, 1) if task.joint else (2, n_languages)
    guesses, failed = np.full((*shape, n_languages, len(labels)), UNASKED), 0
    strata, names = np.array(task.strata), np.array(groups)
    for stratum in sorted(set(strata[folds != UNASKED].tolist())):
        rows = np.flatnonzero((strata == stratum) & (folds != UNASKED))
        guess, n = held_out_guesses(
            values[rows], labels[rows], folds[rows], l2=l2, groups=names[rows], joint=task.joint
        )
        guesses[..., rows] = guess
        failed += n
    return guesses, failed


def held_out_guesses(
    values: Float[np.ndarray, "fact language model"],
    labels: Int[np.ndarray, "fact language"],
    folds: Int[np.ndarray, " fact"],
    *,
    l2: float,
    groups: np.ndarray,
    joint: bool,
) -> tuple[Int[np.ndarray, "offset train test fact"], int]:
    """Guess the label of every fact in every language from probes that saw no fact of its fold.

    Offsets: ``raw``, where the probe takes off the mean of the language it was trained on, and ``centered``,
    where it takes off the mean of the tested language's own training facts. With ``joint`` there is one probe
    for all languages, and no centering, which would take away what it reads.

    Returns:
        The guesses, `UNASKED` where a language has no labels; and how many fits did not converge.
    """
    n_facts, n_languages = labels.shape
    labeled = np.flatnonzero((labels != UNASKED).all(axis=0))
    shape = (1, 1) if joint else (2, n_languages)
    guesses, failed = np.full((*shape, n_languages, n_facts), UNASKED), 0
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        own_means = values[train].mean(axis=0, dtype=np.float64)
        for trained in (0,) if joint else labeled:
            columns = np.arange(n_languages) if joint else np.array([trained])
            probe = _fit(values[train][:, columns], labels[train][:, columns], groups[train], l2)
            failed += not probe.converged
            guesses[0, trained, :, test] = probe.predict(values[test])
            if not joint:
                guesses[1, trained, :, test] = probe.predict(values[test], own_means)
    if not joint:
        unasked = np.setdiff1d(np.arange(n_languages), labeled)
        guesses[:, :, unasked] = UNASKED
    return guesses, failed


def _fit(
    values: Float[np.ndarray, "fact language model"],
    labels: Int[np.ndarray, "fact language"],
    groups: np.ndarray,
    l2: float,
) -> LinearProbe:
    x, y = values.reshape(-1, values.shape[-1]), labels.ravel()
    if l2 == 0:
        l2 = choose_l2(x, y, np.repeat(groups, labels.shape[1]).tolist())
    return fit_probe(x, y, l2)
