"""The whole build: tables and Babel to the frozen file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from interp.data.languages import EMBEDDED_LANGUAGES
from interp.data.sources.cldr_build.babel_data import cldr_version
from interp.data.sources.cldr_build.filters import filtered
from interp.data.sources.cldr_build.labels import Labels, entity_labels
from interp.data.sources.cldr_build.options import split_of, with_options
from interp.data.sources.cldr_build.tables import load_tables
from interp.data.sources.cldr_build.triples import Triple, all_triples
from interp.files import write_atomically

FORMAT = "interp-cldr-facts/1"
EVERY_LANGUAGE = "mul"
"""Key of a label that is the same in every language (ISO 639-2 code for several languages)."""


def build_cldr(path: str | Path) -> Path:
    """Build the facts and write them to a file, whole or not at all.

    Raises:
        DataError: Babel is not installed.
        WriteError: The file cannot be written.
    """
    content = built_facts().encode()
    write_atomically(Path(path), lambda stream: stream.write(content))
    return Path(path)


def built_facts() -> str:
    """Return the text of the frozen file: a header, one entity per line, one fact per line."""
    tables = load_tables()
    triples = all_triples(tables)
    labels = entity_labels((entity for t in triples for entity in (t.subject, t.object)), tables)
    facts = [
        fact
        for _, group in groupby(triples, key=lambda triple: triple.relation)
        for fact in _fact_rows(list(group), labels)
    ]
    used = sorted({entity for fact in facts for entity in (fact["subject_id"], *fact["option_ids"])})
    header = {
        "format": FORMAT,
        "source": cldr_version(),
        "license": "Unicode-3.0",
        "languages": list(EMBEDDED_LANGUAGES),
    }
    return _text(header, {entity: _entity_row(labels[entity]) for entity in used}, facts)


def _fact_rows(triples: list[Triple], labels: dict[str, Labels]) -> Iterable[dict[str, Any]]:
    for triple, options in with_options(filtered(triples, labels), labels):
        yield {
            "fact_id": triple.fact_id,
            "relation": triple.relation,
            "subject_id": triple.subject,
            "object_id": triple.object,
            "option_ids": list(options),
            "split": split_of(triple.country),
            "group": triple.country,
        }


def _entity_row(labels: Labels) -> dict[str, Any]:
    same = len(set(labels.text.values())) == 1
    text = {EVERY_LANGUAGE: labels.text["en"]} if same else labels.text
    return {"labels": text, "by_rule": list(labels.by_rule)} if labels.by_rule else {"labels": text}


def _text(header: dict[str, Any], entities: dict[str, dict[str, Any]], facts: list[dict[str, Any]]) -> str:
    """Lay out the file so that a difference shows one line per entity or fact."""
    top = ",\n".join(f"{_line(key)}: {_line(value)}" for key, value in header.items())
    names = ",\n".join(f"{_line(key)}: {_line(value)}" for key, value in entities.items())
    rows = ",\n".join(_line(fact) for fact in facts)
    return f'{{\n{top},\n"entities": {{\n{names}\n}},\n"facts": [\n{rows}\n]\n}}\n'


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
