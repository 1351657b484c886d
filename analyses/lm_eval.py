"""Samples that the lm-evaluation-harness logged, put together: accuracies per language become consistency."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analyses.lm_eval_runs import describe_run
from interp.characters import visible
from interp.data.facts import Fact, FactSet
from interp.data.languages import as_languages
from interp.data.lm_eval_samples import Sample, read_samples
from interp.data.priors import answers_of
from interp.data.prompts import Prompt, PromptSet, context_of
from interp.errors import ResultError
from interp.results.base import Provenance
from interp.results.behavior import BehaviorResult
from interp.results.settings import question
from interp.results.settings.evaluation import EvaluationSettings

__all__ = ["import_samples"]

Samples = Mapping[str, Sample]
_EXPORT = ("facts", "languages", "aligned", "prompt_format")
_PARALLEL = ("relation", "subject_id", "object_id", "option_ids", "split", "group")


def import_samples(files: Sequence[Path | str], languages: Collection[str] | None = None) -> BehaviorResult:
    """Read the samples of one model in all languages, and return what `interp evaluate` would have.

    The prompts of the result are those that the harness logged; where they are ours it can be compared with a
    result that was measured here. How many tokens an option has is not logged, so the scoring ``token`` is
    refused later; nor is the fingerprint of the model.

    Args:
        files: One ``samples_*.jsonl`` per language.
        languages: Use these alone, in this order; by default all that were exported; none may be missing.

    Returns:
        Log-probabilities of all options. ``provenance.run["notes"]`` says what makes them weaker than ours.

    Raises:
        DataError: See `interp.data.lm_eval_samples.read_samples`.
        ResultError: A language is missing or there twice; languages do not have the same facts, options and
            right answers; the files are of different exports or models.
    """
    by_file = {Path(file): read_samples(file) for file in files}
    file_of = _one_per_language(by_file)
    export = _export(by_file)
    wanted = tuple(export["languages"]) if languages is None else as_languages(languages)
    if missing := [code for code in wanted if code not in file_of]:
        raise ResultError(
            f"Samples of {', '.join(missing)} are missing; there are those of {', '.join(file_of)}. Give "
            "their files too, or name the languages to use."
        )
    by_language = {code: by_file[file_of[code]] for code in wanted}
    facts = FactSet(export["facts"], _merged(by_language), wanted, export["prompt_format"], export["aligned"])
    run = describe_run(
        [file_of[code] for code in wanted], max(s.longest for f in by_language.values() for s in f.values())
    )
    return _result(facts, by_language, run)


def _one_per_language(by_file: Mapping[Path, Samples]) -> dict[str, Path]:
    if not by_file:
        raise ResultError("No samples: give one samples_*.jsonl per language.")
    files: dict[str, Path] = {}
    for file, samples in by_file.items():
        code = next(iter(samples.values())).document["language"]
        if code in files:
            raise ResultError(
                f"Language '{code}' is in two files, {visible(files[code])} and {visible(file)}. Give those "
                "of one run."
            )
        files[code] = file
    return files


def _export(by_file: Mapping[Path, Samples]) -> dict[str, Any]:
    """What all samples say of the export that they are of."""
    exports: list[tuple[Path, dict[str, Any]]] = []
    for file, samples in by_file.items():
        for sample in samples.values():
            export = {key: sample.document[key] for key in _EXPORT}
            if export not in [other for _, other in exports]:
                exports.append((file, export))
    if len(exports) > 1:
        (one, a), (other, b) = exports[:2]
        key = next(key for key in _EXPORT if a[key] != b[key])
        raise ResultError(
            f"The samples are of different exports: {key} is {a[key]} in {visible(one.name)}, {b[key]} in "
            f"{visible(other.name)}. Give those of one export."
        )
    return exports[0][1]


def _merged(by_language: Mapping[str, Samples]) -> tuple[Fact, ...]:
    """The facts in all languages, in the first language's order."""
    first, *others = by_language
    for code in others:
        unequal = by_language[first].keys() ^ by_language[code].keys()
        if unequal:
            name = min(unequal)
            there, absent = (first, code) if name in by_language[first] else (code, first)
            raise ResultError(
                f"Languages do not have the same facts: '{visible(name)}' is in '{there}' and not in "
                f"'{absent}' ({len(unequal)} such facts; {first} has {len(by_language[first])}, {code} "
                f"{len(by_language[code])}). Was one run cut short, or limited otherwise?"
            )
    facts = []
    for fact_id, sample in by_language[first].items():
        parts = [by_language[code][fact_id] for code in by_language]
        for code, part in zip(by_language, parts, strict=True):
            for key in _PARALLEL:
                if part.document[key] != sample.document[key]:
                    raise ResultError(
                        f"The fact '{visible(fact_id)}' has not the same {key} in '{first}' and '{code}': "
                        f"{sample.document[key]} and {part.document[key]}."
                    )
        wording = {code: part.fact.wording[code] for code, part in zip(by_language, parts, strict=True)}
        facts.append(replace(sample.fact, wording=wording))
    return tuple(facts)


def _result(facts: FactSet, by_language: Mapping[str, Samples], run: dict[str, Any]) -> BehaviorResult:
    shape = (len(facts), len(by_language), max(len(fact.option_ids) for fact in facts))
    scores = np.full(shape, np.nan)
    lengths: dict[str, Any] = {
        name: np.zeros(shape, dtype=np.int64) for name in ("tokens", "characters", "bytes")
    }
    for row, fact in enumerate(facts):
        for column, code in enumerate(facts.languages):
            here = (row, column, slice(len(fact.option_ids)))
            names = fact.wording[code].options
            scores[here] = by_language[code][fact.fact_id].log_probability
            lengths["characters"][here] = [len(name) for name in names]
            lengths["bytes"][here] = [len(name.encode()) for name in names]
    prompts = _prompts(facts, by_language)
    changed = sum(
        s.context != s.document["prompt"] for samples in by_language.values() for s in samples.values()
    )
    if changed:
        run["notes"].append(
            f"The harness put something around {changed} prompts (a chat template, an instruction), so this "
            "result compares only with others that were asked so."
        )
    return BehaviorResult(
        **facts.answer_key(),
        answers=answers_of(facts),
        gold=np.array([fact.answer_index for fact in facts]),
        aligned=facts.aligned,
        log_probability=scores,
        provenance=Provenance(
            checkpoint=run.pop("model"),
            prompts=facts.name,
            prompts_digest=prompts.digest,
            settings=question(facts.languages, {}, EvaluationSettings().stored(), **context_of(facts)),
            run=run,
        ),
        **lengths,
    )


def _prompts(facts: FactSet, by_language: Mapping[str, Samples]) -> PromptSet:
    """What the model read, as the harness logged it."""
    prompts = {
        code: tuple(
            Prompt(
                item_id=fact.fact_id,
                language=code,
                text=by_language[code][fact.fact_id].context,
                answer=fact.answer(code),
                separator=by_language[code][fact.fact_id].separator,
                group=fact.group,
            )
            for fact in facts
        )
        for code in facts.languages
    }
    return PromptSet(facts.name, facts.languages, prompts, parallel=True)
