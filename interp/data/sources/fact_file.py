"""Facts of the user's own: a ``.jsonl`` or ``.parquet`` file in the form of `interp.data.schema`."""

from __future__ import annotations

from pathlib import Path

from interp.data.check import checked_rows
from interp.data.facts import FactSet, row_to_fact
from interp.data.languages import LANGUAGES
from interp.data.sources.cldr import EMBEDDED, cldr_facts

__all__ = ["load_facts"]


def load_facts(path: str | Path) -> FactSet:
    """Read a ``.jsonl`` or ``.parquet`` file of facts; its form is documented in `interp.data.schema`.

    ``cldr`` gives the embedded facts. A fact that lacks a language of the others is kept; it counts when that
    language is asked for. Languages that the file describes are known from then on.

    Raises:
        DataError: The file is missing or a row breaks the form; the message has the first 20 row numbers.
    """
    if str(path) in EMBEDDED:
        return cldr_facts()
    rows = checked_rows(path)
    present = {code for row in rows for code in row["wording"]}
    languages = tuple(code for code in LANGUAGES if code in present)
    aligned = all(row.get("aligned") is not False for row in rows)
    return FactSet(Path(path).stem, tuple(row_to_fact(row) for row in rows), languages, aligned=aligned)
