import json
from importlib import resources

import pytest

from interp.data.facts import FactSet
from interp.data.languages import LANGUAGES, register_language_file, registry
from interp.data.sources.cldr import cldr_facts
from tests.support.facts import make_fact


@pytest.fixture(scope="session")
def cldr():
    return cldr_facts()


@pytest.fixture
def thai_unknown(registration):
    """The file of a language that the package does not know: Thai's own, while it is taken out."""
    del LANGUAGES["th"]
    for clear in registry._caches:
        clear()
    return resources.files("interp.data.languages") / "known" / "th.toml"


AMHARIC = """
code = "am"
name = "Amharic"
endonym = "አማርኛ"
script = "Ethi"
resource = "low"
letters = ["ETHIOPIC"]
"""


@pytest.fixture
def few_words(registration, tmp_path):
    """A language of which only the necessary is known: its code."""
    path = tmp_path / "am.toml"
    path.write_text(AMHARIC, encoding="utf-8")
    return register_language_file(path).code


@pytest.fixture
def small():
    return FactSet("small", tuple(make_fact(number) for number in range(10)), ("en", "de"))


@pytest.fixture
def row():
    return {
        "fact_id": "f1",
        "relation": "capital",
        "subject_id": "s1",
        "object_id": "a",
        "option_ids": ["a", "b"],
        "split": "test",
        "wording": {
            "en": {"question": "Q?", "subject": "S", "options": ["A", "B"]},
            "de": {"question": "F?", "subject": "S", "options": ["A", "B"]},
        },
    }


@pytest.fixture
def jsonl(tmp_path):
    def write(*rows):
        path = tmp_path / "facts.jsonl"
        lines = [
            row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=True).encode() for row in rows
        ]
        path.write_bytes(b"\n".join(lines) + b"\n")
        return path

    return write
