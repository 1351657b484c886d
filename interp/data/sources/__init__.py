"""Where prompts come from: the embedded facts, a file of facts, or a folder of text."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from interp.data.characters import visible
from interp.data.facts import FactSet, load_facts
from interp.data.files import SUFFIXES
from interp.data.prompts import PromptSet, prompts_from_facts
from interp.data.sources.cldr import cldr_facts
from interp.data.text import load_text
from interp.errors import ConfigError, DataError, nearest

EMBEDDED = ("cldr",)
"""The sources that ship with the package."""


def open_prompts(
    source: str | Path,
    languages: Collection[str],
    *,
    split: str | None = None,
    limit: int | None = None,
    scaffold: str = "native",
    allow_missing: bool = False,
) -> PromptSet:
    """Return the prompts of a source.

    Args:
        source: ``cldr``, a file of facts (``.jsonl`` or ``.parquet``), or a folder of text (``./cldr`` if it has
            the name of an embedded source).
        languages: Which languages, in this order.
        split: ``train``, ``validation`` or ``test``; None or ``all`` for all of them. Text has no splits.
        limit: At most this many items per language, drawn by the hash of their ids.
        scaffold: See `interp.data.prompts.prompts_from_facts`. Text stands as it is.
        allow_missing: Keep the facts that all languages have, where the alternative is an error.

    Raises:
        DataError: There is no such source, or it lacks a language or a split.
        ConfigError: An option does not apply to this kind of source.
    """
    source = str(source)
    path = Path(source)
    if source not in EMBEDDED and source and os.path.isdir(source):
        return _text_prompts(path, languages, split, limit, scaffold)
    facts = open_facts(source)
    chosen = facts.filter(
        splits=None if split in (None, "all") else [split],
        languages=languages,
        limit=limit,
        allow_missing=allow_missing,
    )
    prompts = prompts_from_facts(chosen, scaffold=scaffold)
    return replace(
        prompts, note=f"{prompts.note}, split {split or 'all'}{_dropped(facts, chosen, split, limit)}"
    )


def open_facts(source: str | Path) -> FactSet:
    """Return the facts of ``cldr`` or of a ``.jsonl`` or ``.parquet`` file.

    Raises:
        DataError: There is no such source.
    """
    source = str(source)
    if source == "cldr":
        return cldr_facts()
    path = Path(source)
    if os.path.isfile(source) and path.suffix.lower() in SUFFIXES:
        return load_facts(path)
    looks_like_path = any(mark in source for mark in "/\\.")
    looked = f" Looked at {visible(path.absolute())}." if looks_like_path else nearest(source, EMBEDDED)
    raise DataError(
        f"No prompts named '{visible(source)}'.{looked} There is: cldr (embedded), a .jsonl or .parquet file of facts, "
        "or a folder with <language>.txt or <language>.jsonl."
    )


def _text_prompts(
    folder: Path, languages: Collection[str], split: str | None, limit: int | None, scaffold: str
) -> PromptSet:
    if split not in (None, "all"):
        raise ConfigError(
            f"Text has no splits, so split '{visible(split)}' does not apply to {visible(folder)}."
        )
    if scaffold == "english":
        raise ConfigError(
            f"Text is read as it is, so scaffold 'english' does not apply to {visible(folder)}."
        )
    prompts = load_text(folder, languages)
    return prompts if limit is None else prompts.sample(limit)


def _dropped(facts: FactSet, chosen: FactSet, split: str | None, limit: int | None) -> str:
    if limit is not None:
        return f", limit {limit}"
    asked = sum(split in (None, "all", fact.split) for fact in facts)
    return (
        f", {asked - len(chosen)} of {asked} left out for lack of a language" if asked > len(chosen) else ""
    )
