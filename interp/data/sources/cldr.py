"""The embedded facts: built from CLDR, frozen in a file, asked with the templates of the languages."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from interp.data.facts import Fact, FactSet, Wording
from interp.data.templates import question

__all__ = ["CLDR_FILE", "EMBEDDED", "cldr_facts"]

EMBEDDED = ("cldr",)
"""The sources that ship with the package."""

CLDR_FILE = "cldr_facts.json"


@cache
def cldr_facts() -> FactSet:
    """Return the embedded facts; their questions are rendered from today's templates."""
    frozen = json.loads(
        (resources.files("interp.data") / "resources" / CLDR_FILE).read_text(encoding="utf-8")
    )
    languages = tuple(frozen["languages"])
    names = {entity: _names(row["labels"], languages) for entity, row in frozen["entities"].items()}
    return FactSet("cldr", tuple(_fact(row, names, languages) for row in frozen["facts"]), languages)


def _names(labels: dict[str, str], languages: tuple[str, ...]) -> dict[str, str]:
    # "mul" is a name that all languages share
    return {code: labels.get(code) or labels["mul"] for code in languages}


def _fact(row: dict[str, Any], names: dict[str, dict[str, str]], languages: tuple[str, ...]) -> Fact:
    subject = names[row["subject_id"]]
    wording = {
        code: Wording(
            question=question(row["relation"], code, subject[code], row["subject_id"]),
            subject=subject[code],
            options=tuple(names[option][code] for option in row["option_ids"]),
        )
        for code in languages
    }
    return Fact(**{**row, "option_ids": tuple(row["option_ids"])}, wording=wording)
