"""Facts of the user's own: a ``.jsonl`` or ``.parquet`` file in the form of `interp.data.schema`."""

from __future__ import annotations

from pathlib import Path

from interp.data.facts import FactSet, row_to_fact
from interp.data.sources.cldr import EMBEDDED, cldr_facts
from interp.data.stored import stored_rows

__all__ = ["load_facts"]


def load_facts(path: str | Path, *, sample: bool = False) -> FactSet:
    """Read a ``.jsonl`` or ``.parquet`` file of facts; its form is documented in `interp.data.schema`.

    ``cldr`` gives the embedded facts. A fact that lacks a language of the others is kept; it counts when that
    language is asked for. Languages that the file describes are known from then on. Of a large file the texts
    stay where they are until one is used, so that a sample of its facts costs no more memory than the ids.

    Args:
        path: The file.
        sample: Whether few of the facts will be used. Then the texts of a large file are checked when they
            are used, and those of the others are not; identifiers, splits and languages are in any case.

    Raises:
        DataError: The file is missing or a row breaks the form; the message has the first 20 row numbers. Or,
            when a text of a large file is used, the file has changed.
    """
    if str(path) in EMBEDDED:
        return cldr_facts()
    rows, check = stored_rows(Path(path), sample)
    aligned = all(row.get("aligned") is not False for row in rows)
    return FactSet(Path(path).stem, tuple(map(row_to_fact, rows)), check.languages, aligned=aligned)
