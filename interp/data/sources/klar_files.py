"""The files of KLAR-CLC as they are: templates and rows per language and relation, checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.data.files import no_key_twice
from interp.data.sources.rows import known_languages, listed, refuse, text, text_problems
from interp.errors import DataError

__all__ = ["Klar", "KlarRelation", "KlarSample", "read_klar"]


@dataclass(frozen=True)
class KlarSample:
    """One row: its number, the same in every language; its names (no English ones in the English file)."""

    index: int
    subject: str
    object: str
    subject_en: str = ""
    object_en: str = ""


@dataclass(frozen=True)
class KlarRelation:
    """One file: templates with ``<subject>`` and ``<mask>``, and rows in the file's order."""

    templates: tuple[str, ...]
    samples: tuple[KlarSample, ...]


Klar = dict[str, dict[str, KlarRelation]]
"""Language and relation, in alphabetical order, to a file."""


def read_klar(folder: str | Path, languages: Collection[str] | None = None) -> tuple[Klar, str]:
    """Return the files as they are, relations in alphabetical order, and a note of folders that are no known
    language.

    Args:
        folder: Holds ``<language>/<relation>.json``.
        languages: The languages to read, in any order; all known ones that are there when None.

    Raises:
        DataError: A file is missing or damaged, or rows are malformed; the first 20 are listed.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(
            f"No folder of KLAR at {visible(root.absolute())}; it holds <language>/<relation>.json."
        )
    codes, note = known_languages(
        [place.name for place in root.iterdir() if place.is_dir()], languages, str(folder)
    )
    files = {code: {file.stem: file for file in sorted((root / code).glob("*.json"))} for code in codes}
    relations = sorted({name for by_name in files.values() for name in by_name})
    missing = [f"{code}/{name}.json" for code in codes for name in relations if name not in files[code]]
    if missing:
        raise DataError(
            f"'{visible(folder)}' lacks {listed('files of relations that other languages have', missing)}. "
            "Add them, or remove the language's folder."
        )
    raw = {(code, name): _opened(files[code][name]) for code in codes for name in relations}
    rows = sum(len(_list(values.get("samples"))) for values in raw.values())
    refuse(
        str(folder), (problem for place, values in raw.items() for problem in _problems(place, values)), rows
    )
    refuse(str(folder), _other_relations(raw), rows)
    opened = {code: {name: _relation(raw[code, name]) for name in relations} for code in codes}
    refuse(str(folder), _disagreements(opened), rows)
    return opened, note


def _other_relations(raw: Mapping[tuple[str, str], dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Find files whose id of the relation is not that of the same file in another language."""
    first: dict[str, tuple[str, str]] = {}
    for (code, name), values in raw.items():
        if relation := text(values, "relation_id"):
            other, there = first.setdefault(name, (relation, code))
            if relation != other:
                here = f"'{visible(relation, 40)}'"
                yield f"{code}/{name}", f"relation_id is {here}, and '{visible(other, 40)}' in '{there}'"


def _opened(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=no_key_twice)
    except (OSError, ValueError) as error:
        raise DataError(f"{visible(file)} cannot be read: {visible(error)}") from error
    return values if isinstance(values, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _relation(values: dict[str, Any]) -> KlarRelation:
    keys = ("subject", "object", "subject_en", "object_en")
    samples = (KlarSample(row["index"], *(text(row, key) for key in keys)) for row in values["samples"])
    return KlarRelation(tuple(values["prompt_templates"]), tuple(samples))


def _problems(place: tuple[str, str], values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    where = "/".join(place)
    for key in ("prompt_templates", "samples"):
        if not _list(values.get(key)):
            yield where, f"'{key}' is missing or empty"
    for position, template in enumerate(_list(values.get("prompt_templates"))):
        before, mask, after = template.partition("<mask>") if isinstance(template, str) else ("", "", "")
        if not mask or "<mask>" in after or "<subject>" not in before or "<subject>" in after:
            yield (
                where,
                f"template {position} is {visible(template)!r}, expected <subject> and then one <mask>",
            )
    numbers = Counter(row.get("index") for row in _list(values.get("samples")) if isinstance(row, dict))
    for number, row in enumerate(_list(values.get("samples")), start=1):
        if not isinstance(row, dict):
            yield f"{where} row {number}", "expected an object"
            continue
        for message in _row_problems(row):
            yield f"{where} row {number}", message
        if numbers[row.get("index")] > 1:
            yield (
                f"{where} row {number}",
                f"index {row.get('index')} appears {numbers[row.get('index')]} times",
            )


def _row_problems(row: dict[str, Any]) -> Iterator[str]:
    if type(row.get("index")) is not int:
        yield f"index is {visible(row.get('index'), 40)!r}, expected a whole number"
    yield from text_problems(row, ("subject", "object"))
    candidates = text(row, "object_candidates").split(", ")
    if candidates != [""] and text(row, "object") not in candidates:
        yield f"object '{visible(text(row, 'object'), 60)}' is not among object_candidates"


def _disagreements(opened: Klar) -> Iterator[tuple[str, str]]:
    """Find rows that say they translate another English row than the one with their number."""
    for code, relations in opened.items():
        for name, relation in relations.items():
            english = {s.index: s for s in opened["en"][name].samples} if "en" in opened else {}
            for number, sample in enumerate(relation.samples, start=1):
                other = english.get(sample.index)
                pair = (sample.subject_en, sample.object_en)
                if other and all(pair) and pair != (other.subject, other.object):
                    there = f"'{visible(other.subject, 60)}', '{visible(other.object, 60)}'"
                    here = f"'{visible(pair[0], 60)}', '{visible(pair[1], 60)}'"
                    yield (
                        f"{code}/{name} row {number}",
                        f"index {sample.index} translates {here}; the English row is {there}",
                    )
