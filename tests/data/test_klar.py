"""The published matcher: its rules by hand, and its own records reproduced."""

import json
import os
from pathlib import Path

import pytest

from interp.data.klar import klar_match

VERIFY = Path(os.environ.get("INTERP_VERIFY", Path(__file__).resolve().parents[3] / "shared" / "verify"))


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ("france", "France", True),
        ("the france.", "France", True),
        ("nigeria", "Niger", True),  # no word boundary after a prefix
        ("the united states", "United States", False),  # several words count at the beginning only
        ("serbo-croata", "croata", False),  # the hyphen does not part words
        ("東京。", "東京", True),
        ("1055 مونتريال،", "مونتريال", False),  # nor does the Arabic comma
        ("", "Paris", False),
        ("Paris", "", False),
    ],
)
def test_klar_rules(prediction, gold, expected):
    assert klar_match(prediction, gold) is expected


@pytest.mark.skipif(not VERIFY.is_dir(), reason=f"published outputs are not at {VERIFY}")
@pytest.mark.parametrize(
    ("name", "correct"), [("OLMo-2-1124-7B", 2856), ("Qwen-2.5-7B-grpo-consistent", 7055)]
)
def test_klar_records_are_reproduced(name, correct):
    records = json.loads((VERIFY / "klar_runs" / f"{name}.json").read_text())["records"]
    assert len(records) == 6 * 2619
    found = [klar_match(record["pred"], record["target"]) for record in records]
    assert found == [record["correct"] for record in records]
    assert sum(found) == correct
