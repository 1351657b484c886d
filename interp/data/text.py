"""Running text to measure on: one file per language, one text per line, parallel where the lines agree."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from interp.characters import visible
from interp.data.files import read_lines
from interp.data.languages import LANGUAGES, as_languages
from interp.data.prompts import Prompt, PromptSet
from interp.errors import DataError

MAX_SEGMENTS = 64
"""A file is cut into so many stretches of neighboring texts; each is resampled as a whole."""

_SUFFIXES = (".txt", ".jsonl")


@dataclass(frozen=True)
class _Lines:
    """The texts of one file: line number and text, and how many lines were blank."""

    texts: tuple[tuple[int, str], ...]
    n_blank: int

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(number for number, _ in self.texts)


def load_text(folder: str | Path, languages: str | Collection[str] | None = None) -> PromptSet:
    """Read ``<language>.txt`` (one text per line) or ``<language>.jsonl`` (``{"text": ...}`` per line).

    The set is parallel when every language has a text on the same lines, and not when the numbers of texts
    differ; its note says which. Blank lines are skipped and counted. Groups are up to `MAX_SEGMENTS`
    stretches of each file.

    Args:
        folder: Where the files are.
        languages: Which to read (codes, or a text such as ``en,sw``), in this order; by default every known
            language that has a file.

    Raises:
        DataError: A language has no file, two files or no text; a line is not UTF-8 or not JSON; or the
            numbers of texts agree while blank lines stand in different places, so that it is unclear what
            belongs together.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise DataError(
            f"No such folder of text: {visible(folder)} (looked in {visible(folder.absolute().parent)})."
        )
    files = _files(folder)
    codes = tuple(files) if languages is None else as_languages(languages)
    _require_files(folder, files, codes)
    lines = {code: _read(files[code][0]) for code in codes}
    parallel = _is_parallel(lines)
    n_segments = min(MAX_SEGMENTS, *(len(each.texts) for each in lines.values()))
    prompts = {code: _prompts(code, each, parallel, n_segments) for code, each in lines.items()}
    return PromptSet(folder.name, codes, prompts, parallel, _note(folder, lines, parallel, n_segments))


def _files(folder: Path) -> dict[str, list[Path]]:
    candidates = {code: [folder / f"{code}{suffix}" for suffix in _SUFFIXES] for code in LANGUAGES}
    present = {code: [path for path in paths if path.is_file()] for code, paths in candidates.items()}
    return {code: paths for code, paths in present.items() if paths}


def _require_files(folder: Path, files: dict[str, list[Path]], codes: tuple[str, ...]) -> None:
    missing = [code for code in codes if code not in files]
    if missing or not codes:
        names = sorted(visible(path.name, 60) for path in folder.iterdir())
        listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise DataError(
            f"No text for {', '.join(missing) or 'any known language'} in {visible(folder)}, which holds: "
            f"{listed or 'nothing'}. Expected <language>.txt or <language>.jsonl, such as "
            f"{(missing or ['en'])[0]}.txt; "
            "a language that is not known here needs a file that describes it (--language-file)."
        )
    for code in codes:
        if len(files[code]) > 1:
            raise DataError(f"{visible(folder)} holds both {code}.txt and {code}.jsonl. Keep one of them.")


def _read(path: Path) -> _Lines:
    texts, n_blank = [], 0
    for number, line in enumerate(read_lines(path), start=1):
        text = _text(path, number, line)
        if text.strip():
            texts.append((number, text))
        else:
            n_blank += 1
    if not texts:
        raise DataError(f"{visible(path)} has no text: all of its {n_blank} lines are blank.")
    return _Lines(tuple(texts), n_blank)


def _text(path: Path, number: int, line: bytes) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{visible(path)}, line {number}: byte {error.start + 1} of the line is "
            f"0x{line[error.start]:02x}, "
            "which is not UTF-8. Save the file as UTF-8."
        ) from error
    return _text_of_json(path, number, text) if path.suffix == ".jsonl" and text.strip() else text


def _text_of_json(path: Path, number: int, line: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{visible(path)}, line {number} is not JSON: {visible(error)}.") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise DataError(
            f'{visible(path)}, line {number}: expected {{"text": "..."}}, found {visible(line, 80)}'
        )
    return row["text"]


def _is_parallel(lines: dict[str, _Lines]) -> bool:
    first, *others = lines
    if len({len(each.texts) for each in lines.values()}) > 1:
        return False
    for code in others:
        pairs = zip(lines[first].numbers, lines[code].numbers, strict=True)
        differing = next(((one, other) for one, other in pairs if one != other), None)
        if differing:
            raise DataError(
                f"'{first}' and '{code}' both have {len(lines[first].texts)} texts, but blank lines stand in "
                "different "
                f"places: line {differing[0]} of '{first}' would be paired with line {differing[1]} of "
                f"'{code}'. Remove the blank lines, or give every language a text on the same lines."
            )
    return True


def _prompts(code: str, lines: _Lines, parallel: bool, n_segments: int) -> tuple[Prompt, ...]:
    prefix = "" if parallel else f"{code}:"
    return tuple(
        Prompt(
            item_id=f"{prefix}line-{number}",
            language=code,
            text=text,
            answer="",
            separator="",
            group=f"segment-{position * n_segments // len(lines.texts):02d}",
        )
        for position, (number, text) in enumerate(lines.texts)
    )


def _note(folder: Path, lines: dict[str, _Lines], parallel: bool, n_segments: int) -> str:
    counts = ", ".join(f"{code} {len(each.texts)}" for code, each in lines.items())
    blank = sum(each.n_blank for each in lines.values())
    used = {f"{code}{suffix}" for code in LANGUAGES for suffix in _SUFFIXES}
    unread = sorted(visible(path.name, 60) for path in folder.iterdir() if path.name not in used)
    parts = [
        "parallel by line, since all counts agree"
        if parallel
        else "not parallel, since the counts of texts differ",
        f"texts: {counts}",
        f"{blank} blank lines skipped",
        f"{n_segments} segments",
    ]
    return "; ".join(parts + ([f"not read: {', '.join(unread[:10])}"] if unread else []))
