"""Reading and writing fact files: JSON lines and Parquet, whole or not at all."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Protocol

from interp.characters import visible
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
    return ((number, row) for number, _, row in open_rows(path).placed())


def open_rows(path: str | Path) -> RowFile:
    """Return a file whose rows can be read one after the other, and again one by one.

    Raises:
        DataError: There is no such file, or its kind is not known.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise DataError(
            f"No such file of facts: {visible(path)} (looked in {visible(path.absolute().parent)})."
        )
    return ParquetRows(path) if fact_suffix(path) == ".parquet" else JsonLines(path)


class RowFile(Protocol):
    """Rows of a file."""

    def placed(self) -> Iterator[tuple[int, int, object]]:
        """Yield row number from 1, place for `row_at`, and row; a `ValueError` where it cannot be read."""

    def row_at(self, place: int) -> object:
        """Return the row at a place."""


class JsonLines:
    """A file with a JSON value on each line, blank ones counted; a place is the byte where a line begins."""

    def __init__(self, path: Path):
        self._path = path

    def placed(self) -> Iterator[tuple[int, int, object]]:
        """See `RowFile`."""
        for number, (place, line) in enumerate(_placed_lines(self._path), start=1):
            if line.strip():
                yield number, place, _parse(line)

    def row_at(self, place: int) -> object:
        """See `RowFile`."""
        return _parse(next(_placed_lines(self._path, place))[1])


class ParquetRows:
    """A Parquet file with the wording as JSON; a place is the number of the row, from 0."""

    def __init__(self, path: Path):
        self._path = path
        self._group: tuple[int, Any] = (-1, None)  # number and rows of the row group that was read last

    def placed(self) -> Iterator[tuple[int, int, object]]:
        """See `RowFile`."""
        with self._opened() as file:
            if described := (file.schema_arrow.metadata or {}).get(LANGUAGES_KEY.encode()):
                languages = _parse(described)
                header = languages if isinstance(languages, ValueError) else {LANGUAGES_KEY: languages}
                yield 0, -1, header
            batches = (batch.to_pylist() for batch in file.iter_batches(1000))
            for place, row in enumerate(chain.from_iterable(batches)):
                yield place + 1, place, _with_wording(row)

    def row_at(self, place: int) -> object:
        """See `RowFile`."""
        with self._opened() as file:
            group = 0
            while place >= file.metadata.row_group(group).num_rows:
                place -= file.metadata.row_group(group).num_rows
                group += 1
            if self._group[0] != group:
                self._group = group, file.read_row_group(group)
        return _with_wording(self._group[1].slice(place, 1).to_pylist()[0])

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        parquet = _pyarrow_parquet()
        try:
            with parquet.ParquetFile(self._path) as file:
                yield file
        except (OSError, ValueError) as error:
            raise DataError(
                f"{visible(self._path)} is not a readable Parquet file: {visible(error)}"
            ) from error


def _with_wording(row: dict[str, Any]) -> object:
    wording = row.get("wording")
    texts = _parse(wording) if isinstance(wording, str) else wording
    return texts if isinstance(texts, ValueError) else {**row, "wording": texts}


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file without their line feeds; a byte-order mark at its start is left out.

    Raises:
        DataError: The file cannot be read.
    """
    return (line for _, line in _placed_lines(path))


def _placed_lines(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the lines from a byte on, each with the byte where it begins."""
    try:
        with path.open("rb") as lines:
            lines.seek(start)
            for line in lines:
                text = line.removeprefix(codecs.BOM_UTF8) if start == 0 else line
                yield start, text.removesuffix(b"\n").removesuffix(b"\r")
                start += len(line)
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


def _parse(line: bytes | str) -> object:
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        return json.loads(text, object_pairs_hook=no_key_twice)
    except (ValueError, RecursionError) as error:
        return error if isinstance(error, ValueError) else ValueError("it is nested too deeply")


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
