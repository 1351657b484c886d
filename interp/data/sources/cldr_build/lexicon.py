"""The names that the concept lexicon needs beside those of the facts: well-known languages."""

from __future__ import annotations

import json
from pathlib import Path

from interp.data.languages import EMBEDDED_LANGUAGES
from interp.data.sources.cldr_build.babel_data import cldr_version
from interp.data.sources.cldr_build.labels import Labels, entity_labels
from interp.data.sources.cldr_build.scripts import foreign_letters
from interp.data.sources.cldr_build.tables import load_tables
from interp.files import write_atomically

__all__ = ["build_lexicon", "built_lexicon"]

FORMAT = "interp-cldr-lexicon/1"

# Of the languages of this project those that are no answer of a fact, then others with many speakers or a
# long tradition.
_ADDED = """
sw tr uk he fi no sr hi ur ta te mr gu pa kn ml si am yo ig ha zu xh so kk uz az be mk ps ku eu gl ga cy la jv
mg eo yi
"""


def build_lexicon(path: str | Path) -> Path:
    """Write the names to a file, whole or not at all.

    Raises:
        DataError: Babel is not installed.
        WriteError: The file cannot be written.
    """
    content = built_lexicon().encode()
    write_atomically(Path(path), lambda stream: stream.write(content))
    return Path(path)


def built_lexicon() -> str:
    """Return the text of the frozen file: a header, then one entity per line with its name in every language.

    A language is left out where one of its names is absent, or is not in the script of the language that it
    is in.
    """
    labels = entity_labels([f"language:{code}" for code in _ADDED.split()], load_tables())
    header = {
        "format": FORMAT,
        "source": cldr_version(),
        "license": "Unicode-3.0",
        "languages": list(EMBEDDED_LANGUAGES),
    }
    top = ",\n".join(f"{_line(key)}: {_line(value)}" for key, value in header.items())
    rows = ",\n".join(
        f"{_line(entity)}: {_line({code: names.text[code] for code in EMBEDDED_LANGUAGES})}"
        for entity, names in labels.items()
        if _usable(names)
    )
    return f'{{\n{top},\n"entities": {{\n{rows}\n}}\n}}\n'


def _usable(names: Labels) -> bool:
    return all(
        code in names.text and not foreign_letters(code, names.text[code]) for code in EMBEDDED_LANGUAGES
    )


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
