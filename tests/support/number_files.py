"""Every number that a run left in its folder, by name: results, tables, JSON and trained weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.support.number_cases import VOLATILE, translated

__all__ = ["Numbers", "numbers_of", "pairs_of_files"]

Numbers = dict[str, np.ndarray]
"""Name to values: numbers as they are, words as an array of text."""

_HASH = re.compile(r"-[0-9a-f]{8}(?=\.)")
_NO_NUMBERS = re.compile(r"^(final|checkpoint-\d+)/(?!card|model)")


def pairs_of_files(before: Path, after: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Files that hold the same thing, and those of before that have no counterpart.

    Files pair by their name in the words of today; what is left of one kind pairs in the order of names,
    if equally many are left on both sides.
    """
    old, new = _by_name(before), _by_name(after)
    pairs = [(old.pop(name), new.pop(name)) for name in sorted(old.keys() & new.keys())]
    gone: list[Path] = []
    for kind in sorted({_kind(path) for path in old.values()}):
        left = [path for _, path in sorted(old.items()) if _kind(path) == kind]
        candidates = [path for _, path in sorted(new.items()) if _kind(path) == kind]
        if len(left) == len(candidates):
            pairs += zip(left, candidates, strict=True)
        else:
            gone += left
    return pairs, gone


def numbers_of(path: Path) -> Numbers:
    """Everything that one file holds, under names of today."""
    return dict(_READERS[path.suffix](path))


def _by_name(folder: Path) -> dict[str, Path]:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in _READERS]
    names = {_HASH.sub("", translated(path.relative_to(folder).as_posix())): path for path in files}
    return {name: path for name, path in names.items() if not _NO_NUMBERS.search(name)}


def _kind(path: Path) -> str:
    if path.suffix != ".npz":
        return path.suffix
    from interp.results import load_result

    return load_result(path).kind


def _result(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Fields of a saved result under today's names, and what was asked of which weights."""
    from interp.results import load_result

    result: Any = load_result(path)
    for field in fields(result):
        value = getattr(result, field.name)
        if field.name == "provenance":
            asked = {
                "prompts": value.prompts_digest,
                "weights": value.fingerprint,
                "settings": value.settings,
            }
            yield from _leaves(asked, "provenance", words=True)
        elif isinstance(value, np.ndarray):
            yield field.name, value
        else:
            yield from _leaves({field.name: value}, "", words=True)


def _csv(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    yield from _columns(pd.read_csv(path, keep_default_na=False, na_values=["", "nan"]))


def _parquet(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    yield from _columns(pd.read_parquet(path))


def _columns(table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    for column in table.columns:
        if not VOLATILE.search(str(column)):
            values = table[column].to_numpy()
            yield translated(str(column)), _texts(values) if values.dtype == object else values


def _lines(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    yield from _leaves(records, "", words=True)


def _json(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    yield from _leaves(json.loads(path.read_text(encoding="utf-8")), "", words=False)


def _leaves(value: Any, name: str, *, words: bool) -> Iterator[tuple[str, np.ndarray]]:
    """The numbers of nested records by their path; ``words``: texts too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            path = f"{name}.{translated(str(key))}" if name else translated(str(key))
            if not VOLATILE.search(str(key)):
                yield from _leaves(inner, path, words=words)
    elif isinstance(value, list | tuple):
        if value and all(isinstance(item, int | float) for item in value):
            yield name, np.asarray(value)
        elif words and value and all(isinstance(item, str) for item in value):
            yield name, _texts(value)
        else:
            for index, item in enumerate(value):
                yield from _leaves(item, f"{name}[{index}]", words=words)
    elif isinstance(value, int | float) or (words and value is not None):
        yield name, np.asarray(translated(value) if isinstance(value, str) else value)


def _texts(values: Iterable[Any]) -> np.ndarray:
    return np.asarray([translated(str(value)) for value in values])


def _weights(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors of a checkpoint, float32 or bfloat16, as float32."""
    with path.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        content = stream.read()
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        stored = content[slice(*tensor["data_offsets"])]
        if tensor["dtype"] == "BF16":
            yield name, (np.frombuffer(stored, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            yield name, np.frombuffer(stored, {"F32": np.float32}[tensor["dtype"]])


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, np.ndarray]]]] = {
    ".npz": _result,
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _lines,
    ".json": _json,
    ".safetensors": _weights,
}
