"""Measure what each language loses when the units most specialized in one language are removed.

Units are selected on one half of the facts and removed while the other half is part, and the other way
round.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from interp.characters import visible
from interp.data.facts import FactSet
from interp.data.prompts import PromptSet, context_of, prompts_from_facts
from interp.errors import MeasurementError
from interp.measure.ablation.plan import AblationItem, blocks_of, halves_of, plan_passes, plan_units
from interp.measure.ablation.removal import removed_units, require_units, unit_means
from interp.measure.passes import Progress, run_batches
from interp.measure.provenance import Measurement
from interp.measure.questions import Question, encode_questions, make_questions, score_options, text_losses
from interp.model.loading import LoadedModel
from interp.model.sites import SITES_OF
from interp.results.ablation import AblationResult
from interp.results.selection import default_count
from interp.results.settings.ablation import AblationSettings
from interp.results.units import UnitResult

__all__ = ["measure_ablation"]


def measure_ablation(
    loaded: LoadedModel,
    facts: FactSet,
    selection: UnitResult,
    read: PromptSet,
    settings: AblationSettings | None = None,
    *,
    batch_tokens: int = 4096,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> AblationResult:
    """Remove each language's units, and ask the facts in every language.

    A norm behind the attention output (OLMo2) rescales what the other heads wrote when one is removed.

    Args:
        loaded: The opened checkpoint.
        facts: What is part, in the languages of the selection.
        selection: Scores of this checkpoint's neurons or heads, see `interp.results.selection.top_units`.
        read: The prompts that ``selection`` was measured on, whose blocks make the two halves. A fact of a
            group that is not among them belongs to either half, by the hash of its group.
        settings: What is removed. ``mode`` ``zero``: a removed unit is 0 on every token; ``mean``: what it is
            on average over the tokens of ``read`` that count, all languages weighing equally, on the half
            that it was selected on. ``draws``: random sets per language and half, with as many units in every
            layer, none of them the language's own.
        batch_tokens: Padded tokens per pass; halved where memory runs out.
        resume: File for the state of an interrupted run.
        progress: Called with batches done and batches in all.

    Raises:
        MeasurementError: The selection is of other prompts or another checkpoint, one language, no random
            draw, or scores that are not finite.
        ResultError: A language or a layer has fewer units than asked for, or there is no such rule.
        CapabilityError: The architecture lacks such units.
    """
    settings = settings or AblationSettings(units=f"{selection.unit}s")
    _check(loaded, facts, selection, read, settings)
    unit, blocks, draws = settings.units, selection.n_blocks, settings.draws
    half = halves_of(facts, read, blocks)
    count = settings.count or default_count(selection)
    removed = plan_units(selection, count, draws, settings.seed, settings.rule)
    means = {
        h: unit_means(loaded, read, unit, blocks, blocks_of(blocks, 1 - h))
        for h in ((0, 1) if settings.mode == "mean" else ())
    }
    prompts = prompts_from_facts(facts)
    questions = make_questions(loaded, facts, prompts)
    scored = _Scores(facts, questions, draws)
    context = {"selected_on": read.digest, "blocks": blocks, **context_of(facts)}
    measurement = Measurement.of(loaded, prompts, settings, **context)

    def describe(item: AblationItem) -> str:
        return item.question.describe()

    def add(batch: Sequence[AblationItem]) -> None:
        first, part = batch[0], [item.question for item in batch]
        units = (
            removed[first.half, first.variant, first.owner]
            if first.variant >= 0
            else np.zeros(0, dtype=np.int64)
        )
        with removed_units(loaded, unit, units, means.get(first.half)):
            encoded = encode_questions(loaded, part)
            scores = score_options(loaded, part, encoded)
            golds = [facts.facts[q.fact].answer_index for q in part]
            answers = [(float(s[g]), len(q.options[g])) for q, s, g in zip(part, scores, golds, strict=True)]
            losses = text_losses(loaded, part, encoded, answers)
        scored.add(batch, losses, scores)

    largest = run_batches(
        loaded,
        plan_passes(questions, half, draws, len(facts.languages), batch_tokens),
        add,
        scored,
        describe,
        resume=resume,
        key=measurement.key(batch_tokens=batch_tokens),
        progress=progress,
    )
    provenance = measurement.provenance(batch_tokens=batch_tokens, largest_batch=largest, seed=settings.seed)
    return AblationResult(
        languages=facts.languages,
        fact_ids=tuple(fact.fact_id for fact in facts),
        groups=tuple(fact.group for fact in facts),
        unit=unit,
        mode=settings.mode,
        half=half,
        removed=removed,
        bytes=scored.bytes,
        gold=np.array([fact.answer_index for fact in facts]),
        provenance=provenance,
        **scored.state(),
    )


class _Scores:
    """Losses and scores so far."""

    def __init__(self, facts: FactSet, questions: Sequence[Question], draws: int):
        n_options = max(len(fact.option_ids) for fact in facts)
        shape = (len(facts), len(facts.languages))
        sets = (1 + draws, len(facts.languages))
        self.intact_loss, self.loss = np.full(shape, np.nan), np.full((*sets, *shape), np.nan)
        self.intact_scores = np.full((*shape, n_options), np.nan)
        self.scores = np.full((*sets, *shape, n_options), np.nan)
        self.bytes = np.zeros((*shape, n_options), dtype=np.int64)
        for row, fact in enumerate(facts):
            for column, code in enumerate(facts.languages):
                for option, name in enumerate(fact.wording[code].options):
                    self.bytes[row, column, option] = len(name.encode())

    def add(self, batch: Sequence[AblationItem], losses: np.ndarray, scores: Sequence[np.ndarray]) -> None:
        """Keep what a batch gave: all of it, or nothing if it raises."""
        for item, loss, values in zip(batch, losses, scores, strict=True):
            if not (np.isfinite(loss) and np.isfinite(values).all()):
                raise MeasurementError(
                    f"{item.question.describe()}: log-probabilities are not finite. Use --dtype float32 or "
                    "bfloat16."
                )
        for item, loss, values in zip(batch, losses, scores, strict=True):
            where = item.question.fact, item.question.language
            if item.variant < 0:
                self.intact_loss[where], self.intact_scores[where][: len(values)] = loss, values
            else:
                at = (item.variant, item.owner, *where)
                self.loss[at], self.scores[at][: len(values)] = loss, values

    def state(self) -> dict[str, np.ndarray]:
        """Everything so far, under the names of the result."""
        return {name: getattr(self, name) for name in ("intact_loss", "loss", "intact_scores", "scores")}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state`."""
        for name, array in self.state().items():
            array[:] = state[name]


def _check(
    loaded: LoadedModel, facts: FactSet, selection: UnitResult, read: PromptSet, settings: AblationSettings
) -> None:
    require_units(loaded.architecture, f"{selection.unit}s")
    origin = selection.provenance
    fingerprint = loaded.checkpoint.fingerprint if loaded.checkpoint else ""
    problem = ""
    if len(facts.languages) < 2:
        problem = (
            f"One language ('{facts.languages[0]}'); at least 2 are needed, to tell the units of one from "
            "those of another."
        )
    elif selection.languages != facts.languages:
        problem = (
            f"The units were selected for {' '.join(selection.languages)}, the facts are asked in "
            f"{' '.join(facts.languages)}; the same languages in the same order are expected."
        )
    elif origin.prompts_digest != read.digest:
        problem = f"The units were not selected on '{visible(read.name)}', so its halves are not theirs."
    elif fingerprint != origin.fingerprint:
        problem = (
            f"The units were selected in another checkpoint ({origin.checkpoint}); select them in this one."
        )
    elif selection.exists.shape != (
        shape := (loaded.architecture.n_layers, loaded.architecture.n_units(SITES_OF[f"{selection.unit}s"]))
    ):
        problem = (
            f"The units were selected in a model of {selection.exists.shape[0]} layers x "
            f"{selection.exists.shape[1]} {selection.unit}s, this one has {shape[0]} x "
            f"{shape[1]}; select them in this one."
        )
    elif settings.units != f"{selection.unit}s":
        problem = f"The settings remove {settings.units}, but the selection is of {selection.unit}s."
    if problem:
        raise MeasurementError(problem)
