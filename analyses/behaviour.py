"""Ask several checkpoints the same facts into one folder, and compare each with the first, fact by fact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.checkpoints import refuse_twins, short_names
from interp.config import EvaluationConfig
from interp.data.facts import FactSet
from interp.data.languages import parse_languages
from interp.data.prompts import prompts_from_facts
from interp.data.sources import open_facts
from interp.errors import ConfigError, ResultError, short
from interp.files import require_room
from interp.model.checkpoints import Checkpoint, resolve_checkpoint
from interp.results.base import Provenance
from interp.results.behaviour import BehaviourResult
from interp.results.consistency import pair_mean
from interp.results.rankc import rankc
from interp.stats import holm, paired_bootstrap

__all__ = ["BehaviourStudy", "compare_behaviour", "run_evaluation"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BehaviourStudy:
    """What several checkpoints answered.

    Attributes:
        names: Checkpoints, in the order given.
        facts: What was asked.
        normalization: How options were compared.
        results: One per checkpoint.
        comparisons: Of each later checkpoint with the first: the rows of `compare_behaviour`.
        files: Everything written or reused.
    """

    names: tuple[str, ...]
    facts: FactSet
    normalization: str
    results: list[BehaviourResult] = field(default_factory=list)
    comparisons: list[pd.DataFrame] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def sanity(self) -> list[str]:
        """What makes the results doubtful, in words; empty if nothing does."""
        doubts = []
        for name, result in zip(self.names, self.results, strict=True):
            found = result.by_language(self.normalization)
            if (found.low <= result.chance).all():
                doubts.append(
                    f"{name}: accuracy is not above chance ({result.chance:.3f}) in any language, at most "
                    f"{found.accuracy.max():.3f}. Is the scaffold what the model knows?"
                )
        return doubts


def run_evaluation(config: EvaluationConfig, progress: Progress | None = None) -> BehaviourStudy:
    """Ask every checkpoint of a configuration, and compare each with the first.

    Finished checkpoints are reused; another normalisation needs no model.

    Raises:
        InterpError: Bad input, damaged files, or a folder that holds answers to other questions.
    """
    if not config.ckpt:
        raise ConfigError("No checkpoint: give --ckpt once or more (a folder, a hub id, or organism:final).")
    facts = open_facts(config.facts).filter(
        splits=None if config.split == "all" else [config.split],
        languages=parse_languages(config.languages),
        limit=config.limit or None,
        allow_missing=config.allow_missing,
    )
    checkpoints = [resolve_checkpoint(spec) for spec in config.ckpt]
    refuse_twins(checkpoints)
    require_room(config.out)
    study = BehaviourStudy(short_names(checkpoints), facts, config.normalization)
    for checkpoint, name in zip(checkpoints, study.names, strict=True):
        file = config.out / f"{checkpoint.name}-{checkpoint.fingerprint[:8]}.behaviour.npz"
        if config.fresh:
            file.unlink(missing_ok=True)
        result = _reusable(file, config, facts) or _measured(file, config, checkpoint, facts, name, progress)
        study.results.append(result)
        study.files.append(file)
    study.comparisons.extend(
        compare_behaviour(study.results[0], later, config.normalization) for later in study.results[1:]
    )
    return study


def compare_behaviour(
    before: BehaviourResult, after: BehaviourResult, normalization: str = "byte"
) -> pd.DataFrame:
    """Compare two models on the same facts.

    Returns:
        One row per quantity: ``before``, ``after``, ``change`` with its 95 % interval (paired bootstrap over groups of
        facts, all languages of a fact together), ``p``, and ``holm``, adjusted over the rows.

    Raises:
        ResultError: They were not asked the same.
    """
    differing = before.provenance.differences(after.provenance)
    if differing or before.fact_ids != after.fact_ids or before.languages != after.languages:
        listed = "; ".join(f"{k}: {short(a)} and {short(b)}" for k, (a, b) in differing.items())
        raise ResultError(
            f"The two results answer different questions ({listed or 'facts or languages differ'})."
        )
    order = np.argsort(before.fact_ids)
    groups = [before.groups[i] for i in order]
    one, other = (_per_fact(result, normalization) for result in (before, after))
    rows = []
    for name, values in one.items():
        found = paired_bootstrap(other[name][order], values[order], groups=groups)
        rows.append(
            {
                "quantity": name,
                "before": float(values.mean()),
                "after": float(other[name].mean()),
                "change": found.difference,
                "low": found.low,
                "high": found.high,
                "p": found.p,
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(holm=holm(table.p.to_numpy()))


def _per_fact(result: BehaviourResult, normalization: str) -> dict[str, Float[np.ndarray, " fact"]]:
    earned = result.credit(normalization)
    found = {f"accuracy {code}": earned[:, i] for i, code in enumerate(result.languages)}
    if len(result.languages) > 1:
        found = {"accuracy": earned.mean(axis=1), **found}
        found["right in all languages"] = (earned == 1).all(axis=1).astype(float)
        found["RankC"] = np.asarray(pair_mean(rankc(result.scores(normalization))))
    return found


def _measured(
    file: Path,
    config: EvaluationConfig,
    checkpoint: Checkpoint,
    facts: FactSet,
    name: str,
    progress: Progress | None,
) -> BehaviourResult:
    from interp.measure.behaviour import measure_behaviour
    from interp.model.loading import open_checkpoint

    loaded = open_checkpoint(checkpoint, dtype=config.dtype, device=config.device, attention=config.attention)
    result = measure_behaviour(
        loaded,
        facts,
        scaffold=config.scaffold,
        batch_tokens=config.batch_tokens,
        progress=(lambda done, total: progress(f"{name} questions", done, total)) if progress else None,
    )
    result.save(file)
    return result


def _reusable(file: Path, config: EvaluationConfig, facts: FactSet) -> BehaviourResult | None:
    if not file.exists():
        return None
    result = BehaviourResult.load(file)
    settings = {
        "languages": list(facts.languages),
        "dtype": config.dtype,
        "attention": config.attention,
        "mode": "mcq",
        "scaffold": config.scaffold,
        "facts_digest": facts.digest,
    }
    asked = Provenance(
        prompts_digest=prompts_from_facts(facts, scaffold=config.scaffold).digest, settings=settings
    )
    if differing := result.provenance.differences(asked):
        listed = "; ".join(
            f"{k}: {short(a, 80)} there, {short(b, 80)} asked" for k, (a, b) in differing.items()
        )
        raise ResultError(
            f"{file} answers another question ({listed}). Use --fresh to replace it, or another --out."
        )
    return result
