"""Rows of a folder: files in the usual formats, or what `datasets` saved, per configuration."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.data.files import no_key_twice, read_lines, read_rows
from interp.data.sources.hub import saved_rows
from interp.data.sources.rows import Configs, Row, split_named
from interp.errors import CapabilityError, DataError

__all__ = ["folder_configs"]

_SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")

Read = Iterator[tuple[int, object]]


def folder_configs(path: Path) -> Configs:
    """Return the configurations of a folder, or of one file.

    A file or a folder at the top, or in a folder ``data`` there, is a configuration with the name of its
    stem. Where that names a split, it belongs to the one configuration without a name. Files and folders
    below may be named after splits.

    Raises:
        DataError: It holds no rows.
        CapabilityError: Nothing here; reading Parquet or what `datasets` saved may.
    """
    if path.is_file():
        if path.suffix.lower() not in _READERS:
            raise DataError(f"{visible(path.name)} is none of {', '.join(_READERS)}.")
        return {"": partial(_rows, path, "", split_named(path.stem))}
    readers: dict[str, list[Callable[[], Iterator[Row]]]] = {}
    for place in sorted(path.rglob("*")):
        parts = place.relative_to(path).parts
        if not _holds_rows(place) or any(part.startswith(".") for part in parts):
            continue
        steps = [*parts[:-1], *([] if place.name == "state.json" else [place.stem])]
        steps = steps[1:] if steps[:1] == ["data"] else steps
        splits = [split_named(step) for step in steps]
        config = steps[0] if steps and not splits[0] else ""
        readers.setdefault(config, []).append(partial(_rows, place, config, next(filter(None, splits), "")))
    if not readers:
        raise DataError(f"{visible(path)} has no {', '.join(_READERS)} file and nothing that datasets saved.")
    return {config: partial(_together, parts) for config, parts in readers.items()}


def _holds_rows(place: Path) -> bool:
    if place.name == "state.json":
        return place.is_file()
    return place.suffix.lower() in _READERS and place.name not in _SAVED and place.is_file()


def _together(readers: list[Callable[[], Iterator[Row]]]) -> Iterator[Row]:
    return chain.from_iterable(read() for read in readers)


def _rows(path: Path, config: str, split: str) -> Iterator[Row]:
    read = _read_saved if path.name == "state.json" else _READERS[path.suffix.lower()]
    try:
        for number, row in read(path):
            if isinstance(row, dict):
                yield Row(config, split, number, row)
            else:
                reason = row if isinstance(row, ValueError) else "expected an object with a key per column"
                yield Row(config, split, number, {}, f"not readable: {visible(reason)}")
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{visible(path)} cannot be read: {visible(error)}") from error


def _read_json(path: Path) -> Read:
    content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=no_key_twice)
    rows, stated = (content, {}) if isinstance(content, list) else _wrapped(content)
    for number, row in enumerate(rows, start=1):
        yield number, {**row, **stated} if isinstance(row, dict) else row


def _wrapped(content: object) -> tuple[list[Any], dict[str, Any]]:
    """Return the rows of ``{"items": [...]}``, and the language and split that hold for all of them."""
    if not isinstance(content, dict) or not isinstance(content.get("items"), list):
        raise ValueError('expected a list of rows, or an object with a list of them under "items"')
    rows = content["items"]
    if content.get("n", len(rows)) != len(rows):
        raise ValueError(f"n is {visible(content['n'], 40)}, and there are {len(rows)} items")
    stated = {key: content[key] for key in ("language", "split") if content.get(key) is not None}
    for number, row in enumerate(rows, start=1):
        for key, value in stated.items():
            if isinstance(row, dict) and row.get(key) not in (None, value):
                raise ValueError(
                    f"{key} is {visible(value, 40)}, and {visible(row[key], 40)} in item {number}"
                )
    return rows, stated


def _read_csv(path: Path) -> Read:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        yield from _with_header(csv.reader(lines, strict=True))


def _read_tsv(path: Path) -> Read:
    # as BMLAMA's authors read theirs: a line is a row, and a quotation mark is part of the text
    yield from _with_header(line.decode("utf-8").split("\t") for line in read_lines(path) if line.strip())


def _with_header(rows: Iterator[list[str]]) -> Read:
    header = next(rows, [])
    for number, fields in enumerate(filter(None, rows), start=1):
        if len(fields) == len(header):
            yield number, dict(zip(header, fields, strict=True))
        else:
            yield number, ValueError(f"{len(fields)} fields, the header has {len(header)}")


def _read_parquet(path: Path) -> Read:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise CapabilityError("Parquet files need pyarrow: pip install 'interp[data]'.") from error
    with ParquetFile(path) as file:
        batches = (batch.to_pylist() for batch in file.iter_batches(1000))
        yield from enumerate(chain.from_iterable(batches), start=1)


def _read_saved(path: Path) -> Read:
    yield from enumerate(saved_rows(path.parent), start=1)


_READERS: dict[str, Callable[[Path], Read]] = {
    ".jsonl": read_rows,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
}
