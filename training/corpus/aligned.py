"""Aligned lines for continued pre-training: one file per language, line n of each a translation."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interp.characters import visible
from interp.data.files import read_lines
from interp.data.hashing import digest_of
from interp.errors import DataError
from training.corpus.documents import Document, Documents, shuffled

__all__ = ["AlignedLines", "read_aligned"]


@dataclass(frozen=True)
class AlignedLines:
    """Translated texts in several languages.

    Attributes:
        languages: All of them.
        rows: Language to text, without the languages whose line is empty; rows without any text are left out.
        empty: Language to the number of its empty lines.
    """

    languages: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    empty: Mapping[str, int]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all texts in their order."""
        return digest_of([dict(row) for row in self.rows])

    def documents(self, seed: int) -> Documents:
        r"""Return a document per row, such as ``"sw: ...\nen: ..."``, languages in an order drawn per row."""
        drawn = random.Random(f"{seed} aligned")
        made = []
        for row in self.rows:
            codes = drawn.sample(tuple(row), len(row))
            text = "\n".join(f"{code}: {row[code]}" for code in codes)
            made.append(Document(text, tuple(codes), "lines"))
        notes = {"empty_lines": sum(self.empty.values()), "aligned_rows": len(self.rows)}
        return Documents(self.languages, shuffled(made, seed), notes)


def read_aligned(folder: str | Path, languages: Sequence[str]) -> AlignedLines:
    """Read ``<language>.txt`` per language; lines n are translations of each other.

    Raises:
        DataError: A file is missing, is not UTF-8, or has another number of lines; or there is no text.
    """
    folder = Path(folder)
    lines = {code: _lines(folder, code, languages) for code in languages}
    first = languages[0]
    for code in languages[1:]:
        if len(lines[code]) != len(lines[first]):
            raise DataError(
                f"{first}.txt has {len(lines[first])} lines and {code}.txt {len(lines[code])} in "
                f"{visible(folder)}; lines n must be translations of each other. Align them, with an empty "
                "line where a language has no text."
            )
    columns = zip(*lines.values(), strict=True)
    rows = [{code: text for code, text in zip(languages, row, strict=True) if text} for row in columns]
    empty = {code: sum(not text for text in lines[code]) for code in languages}
    silent = [code for code in languages if empty[code] == len(lines[code])]
    if silent:
        raise DataError(f"{', '.join(f'{code}.txt' for code in silent)} in {visible(folder)} has no text.")
    return AlignedLines(tuple(languages), tuple(row for row in rows if row), empty)


def _lines(folder: Path, code: str, languages: Sequence[str]) -> list[str]:
    file = folder / f"{code}.txt"
    if not file.is_file():
        there = ", ".join(sorted(visible(path.name, 60) for path in folder.glob("*.txt"))[:30])
        raise DataError(
            f"No {code}.txt in {visible(folder)}, which holds: {there or 'no .txt file'}. "
            f"Languages of the run: {' '.join(languages)}. Add the file, or name other languages."
        )
    try:
        return [line.decode("utf-8").strip() for line in read_lines(file)]
    except UnicodeDecodeError as error:
        raise DataError(f"{visible(file)} is not UTF-8 ({visible(error)}). Save it as UTF-8.") from None
