"""The form of a file of facts, and what breaks it in one row.

One JSON object per line (JSON lines, UTF-8)::

    {"fact_id": "mine:1",                 unique in the file
     "relation": "capital",               between subject and answer
     "subject_id": "Q142",                what the question is about
     "object_id": "Q90",                  the right answer, one of option_ids
     "option_ids": ["Q90", "Q64", ...],   at least two, all different
     "split": "test",                     train, validation or test
     "group": "FR",                       optional: facts that stay together; the subject when absent
     "aligned": true,                     optional: false where only the right answer is known to be the
                                          same in all languages; one such fact makes the whole set so
     "wording": {                         per language code
       "en": {"question": "What is the capital of France?",
              "subject": "France",
              "options": ["Paris", "Berlin", ...],      in the order of option_ids, all different
              "suffix": "",                             optional: what follows the answer in a cloze sentence
              "aliases": ["City of Light"]},            optional: other names of the right answer
       "de": {...}}}

A Parquet file has the same columns; ``option_ids`` is a list of strings and ``wording`` a string that holds
the JSON object above.

Languages that the package does not know are described by the first line of the file, or in the metadata of a
Parquet file's schema as JSON under the key ``languages``, with the keys of `interp.data.languages.Language`::

    {"languages": [{"code": "am", "name": "Amharic", "endonym": "አማርኛ", "script": "Ethi", "resource": "low",
                    "letters": ["ETHIOPIC"]}]}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interp.data.characters import control_characters, visible
from interp.data.languages import LANGUAGES
from interp.data.languages.hints import hint
from interp.errors import nearest

SPLITS = ("train", "validation", "test")

REQUIRED = ("fact_id", "relation", "subject_id", "object_id", "option_ids", "split", "wording")
OPTIONAL = ("group", "aligned")
MAX_LENGTH = 2000
"""Characters in one text; a longer one is taken for an accident."""


def row_problems(row: Any) -> Iterator[str]:
    """Yield what is wrong with one row, looked at alone."""
    if not isinstance(row, dict):
        yield f"expected a JSON object, found {_kind(row)}"
        return
    yield from _key_problems(row)
    for key in ("fact_id", "relation", "subject_id", "object_id", "split", "group"):
        if row.get(key) is not None:
            yield from _text_problems(key, row[key])
    if isinstance(row.get("split"), str) and row["split"] not in SPLITS:
        yield (
            f"split is '{visible(row['split'], 40)}', expected "
            f"{', '.join(SPLITS)}{nearest(row['split'], SPLITS)}"
        )
    if not isinstance(row.get("aligned"), (bool, type(None))):
        yield f"aligned: expected true or false, found {_kind(row['aligned'])}"
    yield from _option_id_problems(row)
    yield from _wording_problems(row)


def _key_problems(row: dict[str, Any]) -> Iterator[str]:
    for key in REQUIRED:
        if row.get(key) is None:
            yield f"'{key}' is missing"
    for key in row:
        if key not in REQUIRED + OPTIONAL:
            yield f"unknown key '{visible(key, 40)}'{nearest(key, REQUIRED + OPTIONAL)}"


def _option_id_problems(row: dict[str, Any]) -> Iterator[str]:
    options = row.get("option_ids")
    if options is None:
        return
    if not isinstance(options, list):
        yield f"option_ids: expected a list, found {_kind(options)}"
        return
    if len(options) < 2:
        yield f"option_ids has {len(options)} entries; at least 2 are needed"
    yield from _list_problems("option_ids", options)
    answer = row.get("object_id")
    if isinstance(answer, str) and answer not in options:
        yield f"object_id '{visible(answer, 60)}' is not among option_ids"


def _wording_problems(row: dict[str, Any]) -> Iterator[str]:
    wording = row.get("wording")
    if wording is None:
        return
    if not isinstance(wording, dict):
        yield f"wording: expected an object with a key per language, found {_kind(wording)}"
        return
    if not wording:
        yield "wording has no language"
    ids = row.get("option_ids")
    for code, words in wording.items():
        if code not in LANGUAGES:
            yield (
                f"unknown language '{visible(code, 40)}'.{hint(code, LANGUAGES)} Or describe it in the file."
            )
        if isinstance(words, dict):
            yield from _language_problems(code, words, len(ids) if isinstance(ids, list) else None)
        else:
            yield f"wording.{visible(code, 40)}: expected an object, found {_kind(words)}"


def _language_problems(code: str, words: dict[str, Any], n_options: int | None) -> Iterator[str]:
    where = f"wording.{visible(code, 40)}"
    for key in ("question", "subject", "options"):
        if words.get(key) is None:
            yield f"{where}: '{key}' is missing"
    for key in words:
        if key not in ("question", "subject", "options", "suffix", "aliases"):
            yield f"{where}: unknown key '{visible(key, 40)}'"
    for key in ("question", "subject"):
        if words.get(key) is not None:
            yield from _text_problems(f"{where}.{key}", words[key])
    if words.get("suffix") not in (None, ""):
        yield from _text_problems(f"{where}.suffix", words["suffix"])
    if words.get("aliases") is not None:
        if isinstance(words["aliases"], list):
            yield from _list_problems(f"{where}.aliases", words["aliases"])
        else:
            yield f"{where}.aliases: expected a list, found {_kind(words['aliases'])}"
    options = words.get("options")
    if options is None:
        return
    if not isinstance(options, list):
        yield f"{where}.options: expected a list, found {_kind(options)}"
        return
    if n_options is not None and len(options) != n_options:
        yield f"{where}.options has {len(options)} entries, option_ids has {n_options}"
    yield from _list_problems(f"{where}.options", options)


def _list_problems(where: str, values: list[Any]) -> Iterator[str]:
    for position, value in enumerate(values):
        yield from _text_problems(f"{where}[{position}]", value)
    texts = [value for value in values if isinstance(value, str)]
    for value in dict.fromkeys(texts):
        if texts.count(value) > 1:
            yield f"{where} has '{visible(value, 60)}' {texts.count(value)} times"


def _text_problems(where: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{where}: expected a text, found {_kind(value)}"
        return
    if not value.strip():
        yield f"{where} is empty"
    if len(value) > MAX_LENGTH:
        yield f"{where} has {len(value)} characters; at most {MAX_LENGTH} are allowed"
    # a question may have lines
    controls = control_characters(value.replace("\n", " ") if where.endswith(".question") else value)
    if controls:
        yield f"{where} has control characters: {', '.join(controls[:5])}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
