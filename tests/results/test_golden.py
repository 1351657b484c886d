"""Files of the first schema load, and say what they said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interp.results import load_result

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("kind", ["behavior", "generation", "patching", "attribution", "routing", "ablation"])
def test_the_golden_file_of_schema_1_loads(kind):
    result = load_result(GOLDEN / f"{kind}-schema-1.npz")
    assert result.kind == kind
    expected = json.loads((GOLDEN / f"{kind}-schema-1.json").read_text())["quantities"]
    found = result.summary().set_index("quantity")
    assert list(found.index) == list(expected)
    for name, row in expected.items():
        values = [float("nan") if value is None else value for value in row]
        assert found.loc[name].tolist() == pytest.approx(values, rel=1e-9, nan_ok=True), name
