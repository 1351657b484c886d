"""What an evaluation asks: the facts of a benchmark, as prompts, with everything that decides the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from interp.config import EvaluationConfig
from interp.data.baselines import rule_baselines
from interp.data.characters import visible
from interp.data.demonstrations import prompts_with_demonstrations
from interp.data.facts import FactSet
from interp.data.klar import published_prompts, upstream_prompts
from interp.data.languages import LANGUAGES, POLYFACT_LANGUAGES, requested_languages, resolve_languages
from interp.data.prompts import PromptSet
from interp.data.sources import open_facts
from interp.errors import ConfigError, DataError
from interp.results.answers import AnswersResult
from interp.results.behavior import BehaviorResult
from interp.results.generation import GenerationResult

__all__ = ["EvaluationPlan", "asked_facts", "language_classes", "strata_of"]

_MATCH_OF = {"interp": "boundary", "upstream": "prefix", "published": "published"}
_KLAR_SHOTS, _KLAR_TOKENS, _TOKENS = 3, 10, 16


@dataclass(frozen=True)
class EvaluationPlan:
    """What is asked.

    Attributes:
        facts: In the languages that are asked.
        prompts: One per fact and language.
        kind: Of the result.
        prompt_format: Words around the question.
        settings: What decides the result, beside prompts and numerics.
        new_tokens: Longest generated answer.
        stop: See `interp.measure.behavior.generation.measure_generation`.
        protocol: Of a published evaluation, or empty.
        reading: How answers are read off.
        baselines: What rules score without a model: rule, then language.
        strata: Facts that are reported apart: name to a mask.
        note: What was left out.
    """

    facts: FactSet
    prompts: PromptSet
    kind: type[AnswersResult]
    prompt_format: str
    settings: dict[str, Any]
    new_tokens: int = _TOKENS
    stop: str = "line"
    protocol: str = ""
    reading: str = ""
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    strata: Mapping[str, Bool[np.ndarray, " fact"]] = field(default_factory=dict)
    note: str = ""


def asked_facts(config: EvaluationConfig) -> EvaluationPlan:
    """Read what a configuration asks; nothing expensive.

    Raises:
        InterpError: The benchmark lacks something, or options do not go together.
    """
    klar = config.benchmark.startswith("klar:")
    _refuse_mismatches(config, klar)
    options: dict[str, Any] = {"template": config.template} if config.template else {}
    if config.alignment:
        options["alignment"] = config.alignment
    options["languages"] = requested_languages(config.languages)
    source = open_facts(config.benchmark, **options)
    facts = source.filter(
        splits=None if config.split == "all" else [config.split],
        languages=resolve_languages(config.languages, source.languages, embedded=config.benchmark == "cldr"),
        limit=config.limit or None,
        allow_missing=config.allow_missing,
    )
    prompt_format = source.prompt_format if config.prompt_format == "auto" else config.prompt_format
    note = "; ".join(part for part in (source.note, _left_out(source, facts, config)) if part)
    common: dict[str, Any] = {
        "facts": facts,
        "prompt_format": prompt_format,
        "note": note,
        "baselines": rule_baselines(
            facts,
            source.filter(languages=facts.languages, allow_missing=True),
            offered=config.mode == "mcq",
        ),
        "strata": strata_of(facts, config.contaminated),
    }
    if config.mode == "mcq":
        from interp.measure.behavior.choice import behavior_settings

        prompts = prompts_with_demonstrations(facts, prompt_format=prompt_format)
        return EvaluationPlan(
            prompts=prompts,
            kind=BehaviorResult,
            reading=config.normalization,
            settings=behavior_settings(facts, prompt_format),
            **common,
        )
    from interp.measure.behavior.generation import generation_settings

    protocol = "" if config.protocol == "interp" else config.protocol
    tokens = config.new_tokens or (_KLAR_TOKENS if klar else _TOKENS)
    stop = "end" if protocol else "line"
    if protocol:
        prompts = _protocol_prompts(Path(config.benchmark.partition(":")[2]), facts, protocol)
    else:
        shots = config.shots if config.shots is not None else _KLAR_SHOTS if klar else 0
        known = source.filter(languages=facts.languages, allow_missing=True)
        has_train = any(fact.split == "train" for fact in known)
        pool = known.split("train") if has_train else known
        prompts = prompts_with_demonstrations(facts, pool=pool, shots=shots, prompt_format=prompt_format)
    settings = generation_settings(facts, new_tokens=tokens, stop=stop, protocol=protocol)
    return EvaluationPlan(
        prompts=prompts,
        kind=GenerationResult,
        settings=settings,
        new_tokens=tokens,
        stop=stop,
        protocol=protocol,
        reading=_MATCH_OF[config.protocol] if config.match == "auto" else config.match,
        **common,
    )


def _protocol_prompts(folder: Path, facts: FactSet, protocol: str) -> PromptSet:
    """The prompts of a published evaluation, of the facts that are asked."""
    plain = prompts_with_demonstrations(facts, prompt_format="none")
    published = protocol == "published"
    made = (
        published_prompts(folder, facts.languages) if published else upstream_prompts(folder, facts.languages)
    )
    texts = {(p.language, p.fact_id): p.prompt for p in made}
    prompts = {
        code: tuple(replace(prompt, text=texts[code, prompt.item_id]) for prompt in plain.prompts[code])
        for code in facts.languages
    }
    return replace(plain, prompts=prompts, note=f"{len(facts)} facts, {protocol} protocol")


def language_classes(languages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Classes of languages that results are averaged over; those that have one of these."""
    classes = {
        "high-resource": tuple(code for code, known in LANGUAGES.items() if known.resource == "high"),
        "low-resource": tuple(code for code, known in LANGUAGES.items() if known.resource == "low"),
        "seen in the paper": POLYFACT_LANGUAGES,
        "unseen in the paper": tuple(code for code in LANGUAGES if code not in POLYFACT_LANGUAGES),
    }
    return {name: codes for name, codes in classes.items() if set(codes) & set(languages)}


def strata_of(facts: FactSet, contaminated: Path | None) -> dict[str, Bool[np.ndarray, " fact"]]:
    """Masks of the facts that are reported apart.

    Raises:
        DataError: The file is no list of fact ids, or names none of these facts.
    """
    if contaminated is None:
        return {}
    listed = _fact_ids(contaminated)
    mask = np.array([fact.fact_id in listed for fact in facts])
    if not mask.any():
        raise DataError(
            f"{contaminated} names {len(listed)} facts, but none of the {len(facts)} that are asked, such as "
            f"'{visible(facts.facts[0].fact_id)}'."
        )
    return {"contaminated": mask, "not contaminated": ~mask}


def _fact_ids(file: Path) -> set[str]:
    """A JSON list of ids, or PolyFact's list of KLAR's contaminated [relation, index]."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is not readable JSON ({error}).") from None
    if isinstance(found, dict) and isinstance(found.get("contaminated_keys"), list):
        found = [f"{relation}/{index}" for relation, index in found["contaminated_keys"]]
    if not isinstance(found, list) or not all(isinstance(i, str) for i in found):
        raise DataError(f'{file} is expected to be a JSON list of fact ids, or to have "contaminated_keys".')
    return set(found)


def _left_out(source: FactSet, facts: FactSet, config: EvaluationConfig) -> str:
    asked = sum(config.split in ("all", fact.split) for fact in source)
    if config.limit or asked == len(facts):
        return ""
    return f"{asked - len(facts)} of {asked} facts lack one of the languages and are left out for every model"


def _refuse_mismatches(config: EvaluationConfig, klar: bool) -> None:
    """Refuse options that would do nothing."""
    if config.mode == "mcq":
        idle = {
            "--shots": config.shots is not None,
            "--new-tokens": config.new_tokens is not None,
            "--match": config.match != "auto",
            "--protocol": config.protocol != "interp",
        }
        for flag in (flag for flag, given in idle.items() if given):
            raise ConfigError(f"{flag} is of --mode generate; with mcq it would do nothing.")
    elif config.normalization != "byte":
        raise ConfigError("--normalization is of --mode mcq; with generate it would do nothing. Use --match.")
    if config.protocol != "interp" and not klar:
        raise ConfigError(f"--protocol {config.protocol} is of klar:DIR, not of '{config.benchmark}'.")
    if config.protocol != "interp" and (config.shots is not None or config.template):
        raise ConfigError(
            f"--protocol {config.protocol} decides demonstrations and template; leave out --shots, --template."
        )
    if config.new_tokens == 0:
        raise ConfigError("--new-tokens is 0; at least 1 is needed.")
