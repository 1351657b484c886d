import json

import pytest

from interp.data.facts import FactSet
from interp.data.sources.cldr import cldr_facts
from tests.support.facts import make_fact


@pytest.fixture(scope="session")
def cldr():
    return cldr_facts()


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
