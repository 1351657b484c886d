"""Opens what prompts come from: the embedded facts, a file of facts, a benchmark, or a folder of text."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from interp.characters import visible
from interp.data.controls import controlled
from interp.data.facts import FactSet
from interp.data.files import SUFFIXES
from interp.data.hashing import Sample
from interp.data.languages import requested_languages, resolve_languages
from interp.data.prompts import PromptSet, prompts_from_facts
from interp.data.sources.bmlama import bmlama_facts
from interp.data.sources.cldr import EMBEDDED
from interp.data.sources.fact_file import load_facts
from interp.data.sources.global_mmlu import global_mmlu_facts
from interp.data.sources.klar import klar_facts
from interp.data.sources.polyfact import polyfact_facts
from interp.data.text import load_text
from interp.errors import ConfigError, DataError, nearest

__all__ = ["BENCHMARKS", "EMBEDDED", "open_facts", "open_prompts"]

BENCHMARKS = ("klar", "bmlama", "global-mmlu", "polyfact")
"""Data of others, by the word before the colon."""


def open_prompts(
    source: str | Path,
    languages: str | Collection[str] = "auto",
    *,
    split: str | None = None,
    limit: int | None = None,
    prompt_format: str = "auto",
    allow_missing: bool = False,
    control: str = "",
) -> PromptSet:
    """Return the prompts of a source.

    Args:
        source: What `open_facts` takes, or a folder of text (``./cldr`` if it has the name of an embedded
            source).
        languages: Which languages, in this order, as codes or as a text such as ``en,sw``; see
            `interp.data.languages.resolve_languages`.
        split: ``train``, ``validation`` or ``test``; None or ``all`` for all of them. Text has no splits.
        limit: At most this many items per language, drawn by the hash of their ids.
        prompt_format: See `interp.data.prompts.prompts_from_facts`. Text stands as it is.
        allow_missing: Keep the facts that all languages have, where the alternative is an error.
        control: Ask them romanized or shuffled, see `interp.data.controls.controlled`.

    Raises:
        DataError: There is no such source, or it lacks a language or a split.
        ConfigError: An option does not apply to this kind of source.
    """
    source = str(source)
    if source not in EMBEDDED and source and os.path.isdir(source):
        return controlled(_text_prompts(Path(source), languages, split, limit, prompt_format), control)
    sample = Sample(limit, split or "all") if limit else None
    facts = open_facts(source, languages=languages, sample=sample)
    selected = facts.filter(
        splits=None if split in (None, "all") else [split],
        languages=resolve_languages(languages, facts.languages, embedded=source in EMBEDDED),
        limit=limit,
        allow_missing=allow_missing,
    )
    prompts = prompts_from_facts(controlled(selected, control), prompt_format=prompt_format)
    note = f"{prompts.note}, split {split or 'all'}{_dropped(facts, selected, split, limit)}"
    return replace(prompts, note=f"{note}; {facts.note}" if facts.note else note)


def open_facts(
    source: str | Path,
    *,
    languages: str | Collection[str] | None = None,
    template: int = 0,
    alignment: Path | None = None,
    sample: Sample | bool | None = None,
) -> FactSet:
    """Return the facts of ``cldr``, of a ``.jsonl`` or ``.parquet`` file, or of a benchmark.

    Benchmarks are ``klar:DIR``, ``bmlama:DIR``, ``global-mmlu:DIR`` and ``polyfact:DIR``; the last three also
    take a hub id (``owner/name`` or ``owner/name@revision``) in place of a folder.

    Args:
        source: Which.
        languages: Languages that a benchmark must have, and the only ones read of it, as codes or as a text
            such as ``en,sw``; by default all that it has. ``cldr`` and a file are read whole:
            `FactSet.filter` selects.
        template: Which of KLAR's templates, from 0.
        alignment: Places of PolyFact's options in English, where it has no ids; see
            `interp.data.sources.polyfact.polyfact_facts`.
        sample: Whether few of the facts will be used, see `interp.data.sources.fact_file.load_facts`; or
            which, so that a benchmark may leave out the others, see
            `interp.data.sources.polyfact.polyfact_facts`.

    Raises:
        DataError: There is no such source, or its rows are malformed.
        ConfigError: An option does not apply to this kind of source.
        CapabilityError: Reading it needs a package that is not installed.
    """
    source = str(source)
    if source not in EMBEDDED and not os.path.isfile(source):
        kind, colon, place = source.partition(":")
        if colon and kind in BENCHMARKS:
            only = sample if isinstance(sample, Sample) else None
            return _benchmark(kind, place, requested_languages(languages), template, alignment, only)
    _require_unused(source, template=template, alignment=alignment)
    if source in EMBEDDED or (os.path.isfile(source) and Path(source).suffix.lower() in SUFFIXES):
        return load_facts(source, sample=bool(sample))
    raise _no_such_source(source)


def _benchmark(
    kind: str,
    place: str,
    languages: tuple[str, ...] | None,
    template: int,
    alignment: Path | None,
    sample: Sample | None,
) -> FactSet:
    if not place:
        raise DataError(f"'{kind}:' names no folder. Give {kind}:DIR.")
    if kind == "klar":
        _require_unused(f"{kind}:{place}", alignment=alignment)
        return klar_facts(place, template=template, languages=languages)
    if kind == "polyfact":
        _require_unused(f"{kind}:{place}", template=template)
        return polyfact_facts(place, alignment=alignment, languages=languages, sample=sample)
    _require_unused(f"{kind}:{place}", template=template, alignment=alignment)
    return {"bmlama": bmlama_facts, "global-mmlu": global_mmlu_facts}[kind](place, languages=languages)


def _require_unused(source: str, **options: object) -> None:
    """Raise if an option that does not apply to a source was given."""
    owners = {"template": "klar:DIR", "alignment": "polyfact:DIR"}
    for name, value in options.items():
        if value:
            raise ConfigError(
                f"{name} {visible(value)} does not apply to '{visible(source)}'; it is an option of "
                f"{owners[name]}."
            )


def _no_such_source(source: str) -> DataError:
    kind, colon, _ = source.partition(":")
    if colon and "/" not in kind:
        advice = nearest(f"{kind}:", [f"{name}:" for name in BENCHMARKS])
    elif any(mark in source for mark in "/\\."):
        advice = f" Looked at {visible(Path(source).absolute())}."
    else:
        advice = nearest(source, EMBEDDED)
    return DataError(
        f"No data named '{visible(source)}'.{advice} Choose from: {', '.join(EMBEDDED)} (embedded facts), "
        f"{', '.join(f'{name}:DIR' for name in BENCHMARKS)}, a .jsonl or .parquet file of facts, "
        "or a folder with <language>.txt or <language>.jsonl."
    )


def _text_prompts(
    folder: Path, languages: str | Collection[str], split: str | None, limit: int | None, prompt_format: str
) -> PromptSet:
    if split not in (None, "all"):
        raise ConfigError(
            f"Text has no splits, so split '{visible(split)}' does not apply to {visible(folder)}."
        )
    if prompt_format == "english":
        raise ConfigError(
            f"Text is read as it is, so prompt_format 'english' does not apply to {visible(folder)}."
        )
    prompts = load_text(folder, requested_languages(languages))
    return prompts if limit is None else prompts.sample(limit)


def _dropped(facts: FactSet, selected: FactSet, split: str | None, limit: int | None) -> str:
    if limit is not None:
        return f", limit {limit}"
    total = sum(split in (None, "all", fact.split) for fact in facts)
    lost = total - len(selected)
    return f", {lost} of {total} left out for lack of a language" if lost else ""
