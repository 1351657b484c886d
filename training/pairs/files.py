"""Saved preference pairs: ``pairs.jsonl``, a pair per line to read and edit, and their summary."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interp.characters import visible
from interp.errors import DataError
from interp.files import file_digest, write_atomically
from training.examples import ExampleSet
from training.files import write_json
from training.pairs.votes import Pair, PairSet

__all__ = ["check_pairs", "load_pairs", "save_pairs", "saved_summary"]

_KINDS = {"str": str, "bool": bool, "int": int, "Mapping[int, int]": dict}
_TYPES: dict[str, type] = {f.name: _KINDS.get(str(f.type), str) for f in dataclasses.fields(Pair)}
_WORDS = {str: "text", bool: "true or false", int: "a whole number", dict: "an object"}


def save_pairs(out: Path, made: PairSet) -> dict[str, Any]:
    """Write pairs into a folder and return their summary: counts and SHA-256. The summary is written last.

    Raises:
        WriteError: The folder cannot be written to.
    """
    lines = "".join(
        json.dumps(dataclasses.asdict(pair), ensure_ascii=False) + "\n" for pair in made.pairs
    ).encode()
    write_atomically(out / "pairs.jsonl", lambda stream: stream.write(lines))
    summary = {**made.counts, "digest": hashlib.sha256(lines).hexdigest()}
    write_json(out / "pairs.json", summary)
    return summary


def saved_summary(out: Path) -> dict[str, Any] | None:
    """Return the summary of the pairs in a folder, or None when it holds none that are whole.

    Raises:
        DataError: The pairs are not those of the summary.
    """
    if not (out / "pairs.json").is_file() or not (out / "pairs.jsonl").is_file():
        return None
    summary = json.loads((out / "pairs.json").read_text(encoding="utf-8"))
    digest = file_digest(out / "pairs.jsonl")
    if summary["digest"] != digest:
        raise DataError(
            f"{out / 'pairs.jsonl'} has changed since the run began (SHA-256 {digest[:12]}; pairs.json says "
            f"{summary['digest'][:12]}). To train on it, start a new run in another folder with --pairs."
        )
    return summary


def load_pairs(file: Path) -> tuple[Pair, ...]:
    """Read saved pairs.

    Raises:
        DataError: There is no such file, it has no pairs, or a row is not a pair; the message names the row.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror}. Give a pairs.jsonl that a run saved."
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8 text. Give a pairs.jsonl that a run saved.") from None
    pairs = tuple(_pair(line, f"{file}, row {n}") for n, line in enumerate(lines, 1) if line.strip())
    if not pairs:
        raise DataError(f"{file} holds no pairs.")
    return pairs


def check_pairs(pairs: Sequence[Pair], examples: ExampleSet) -> None:
    """Refuse pairs of other facts, which could be of the test split, or of other prompts.

    Raises:
        DataError: The message names the first row that does not fit.
    """
    prompts = {(e.fact_id, e.language): e.prompt for fact in examples.facts for e in fact}
    for number, pair in enumerate(pairs, 1):
        prompt = prompts.get((pair.fact_id, pair.language))
        where = f"Pair {number} ({pair.fact_id}, {pair.language})"
        if prompt is None:
            raise DataError(
                f"{where} is of none of the {len(examples)} train facts in {','.join(examples.languages)}. "
                "Set facts, languages and limit as when the pairs were made, or remove it."
            )
        if prompt != pair.prompt:
            raise DataError(
                f"{where} has the prompt '{visible(pair.prompt)}'; that of this run is '{visible(prompt)}'. "
                "Set prompt and prompt_format as when the pairs were made."
            )


def _pair(line: str, where: str) -> Pair:
    try:
        row = json.loads(line)
    except ValueError:
        raise DataError(f"{where} is not JSON.") from None
    if not isinstance(row, dict) or set(row) != set(_TYPES):
        keys = ", ".join(sorted(row)) if isinstance(row, dict) else type(row).__name__
        raise DataError(f"{where} has {keys or 'nothing'}; a pair has {', '.join(_TYPES)}.")
    for name, kind in _TYPES.items():
        if type(row[name]) is not kind:
            raise DataError(f"{where}: {name} is {row[name]!r}; {_WORDS[kind]} is expected.")
    try:
        votes = {int(entity): int(count) for entity, count in row["votes"].items()}
    except (TypeError, ValueError):
        raise DataError(
            f"{where}: votes are {row['votes']}; entity numbers with counts are expected."
        ) from None
    _check(row, where)
    return Pair(**{**row, "votes": votes})


def _check(row: dict[str, Any], where: str) -> None:
    if not row["prompt"]:
        raise DataError(f"{where}: the prompt is empty.")
    if row["source"] not in ("sampled", "canonical"):
        raise DataError(f"{where}: source is '{row['source']}'; sampled or canonical is expected.")
    if row["chosen_entity"] != row["winner"] or row["rejected_entity"] == row["winner"]:
        raise DataError(
            f"{where}: the chosen answer names entity {row['chosen_entity']} and the rejected one "
            f"{row['rejected_entity']}; the first alone should name the winner, {row['winner']}."
        )
    if row["chosen"] == row["rejected"]:
        raise DataError(f"{where}: the chosen and the rejected answer are both '{visible(row['chosen'])}'.")
