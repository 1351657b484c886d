"""Reading and writing fact files: JSON lines and Parquet, whole or not at all."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from interp.data.characters import visible
from interp.errors import DataError
from interp.files import write_atomically

SUFFIXES = (".jsonl", ".parquet")

LANGUAGES_KEY = "languages"
"""The one key of a first row that describes languages."""


def write_rows(
    path: str | Path, rows: list[dict[str, Any]], languages: list[dict[str, Any]] | None = None
) -> Path:
    """Write rows as JSON lines or Parquet, by the file's extension.

    Args:
        path: The file.
        rows: One object per row.
        languages: What describes languages that the package does not know; see `interp.data.schema`.

    Raises:
        DataError: The extension is another one, or pyarrow is missing.
        WriteError: The file cannot be written.
    """
    path = Path(path)
    if fact_suffix(path) == ".parquet":
        write_atomically(path, partial(_write_parquet, rows=rows, languages=languages))
    else:
        header = [{LANGUAGES_KEY: languages}] if languages else []
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in header + rows)
        write_atomically(path, lambda stream: stream.write(lines.encode()))
    return path


def read_rows(path: str | Path) -> Iterator[tuple[int, object]]:
    """Yield row number, from 1, and row; a row that cannot be read is the `ValueError` that says why.

    The description of languages in a Parquet file is row 0, as it would stand in JSON lines.

    Raises:
        DataError: There is no such file, or its kind is not known.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise DataError(
            f"No such file of facts: {visible(path)} (looked in {visible(path.absolute().parent)})."
        )
    return _read_parquet(path) if fact_suffix(path) == ".parquet" else _read_jsonl(path)


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file without their line feeds; a byte-order mark at its start is left out.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as lines:
            for position, line in enumerate(lines):
                line = line.removeprefix(codecs.BOM_UTF8) if position == 0 else line
                yield line.removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise DataError(f"Cannot read {visible(path)}: {visible(error.strerror or error)}.") from error


def fact_suffix(path: Path) -> str:
    """Return ``.jsonl`` or ``.parquet``.

    Raises:
        DataError: The file has another extension.
    """
    if path.suffix.lower() in SUFFIXES:
        return path.suffix.lower()
    raise DataError(f"{visible(path.name)} is neither .jsonl nor .parquet, the two forms of a file of facts.")


def no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, Any]:
    """Build a JSON object; refuse a key that appears twice, where JSON readers silently use the last."""
    built = dict(pairs)
    if len(built) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' appears twice")
    return built


def _read_jsonl(path: Path) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            yield number, _parse(line)


def _parse(line: bytes | str) -> object:
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        return json.loads(text, object_pairs_hook=no_key_twice)
    except (ValueError, RecursionError) as error:
        return error if isinstance(error, ValueError) else ValueError("it is nested too deeply")


def _read_parquet(path: Path) -> Iterator[tuple[int, object]]:
    parquet = _pyarrow_parquet()
    try:
        table = parquet.read_table(path)
        rows = table.to_pylist()
    except (OSError, ValueError) as error:
        raise DataError(f"{visible(path)} is not a readable Parquet file: {visible(error)}") from error
    if described := (table.schema.metadata or {}).get(LANGUAGES_KEY.encode()):
        languages = _parse(described)
        yield 0, languages if isinstance(languages, ValueError) else {LANGUAGES_KEY: languages}
    for number, row in enumerate(rows, start=1):
        column = row.get("wording")
        wording = _parse(column) if isinstance(column, str) else column
        yield number, wording if isinstance(wording, ValueError) else {**row, "wording": wording}


def _write_parquet(
    stream: IO[bytes], rows: list[dict[str, Any]], languages: list[dict[str, Any]] | None
) -> None:
    parquet = _pyarrow_parquet()
    import pyarrow

    flat = [{**row, "wording": json.dumps(row["wording"], ensure_ascii=False)} for row in rows]
    table = pyarrow.Table.from_pylist(flat)
    if languages:
        table = table.replace_schema_metadata({LANGUAGES_KEY: json.dumps(languages, ensure_ascii=False)})
    parquet.write_table(table, stream)


def _pyarrow_parquet() -> ModuleType:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DataError("Parquet files need pyarrow: pip install 'interp[data]'.") from error
    return pyarrow.parquet
