"""Files of the first schema load, and say what they said."""

from __future__ import annotations

import pytest

from tests.support.golden import golden


@pytest.mark.parametrize("kind", ["behavior", "generation", "patching", "attribution", "routing", "ablation"])
def test_the_golden_file_of_schema_1_loads(kind):
    result, expected = golden(kind)
    assert result.kind == kind
    expected = expected["quantities"]
    found = result.summary().set_index("quantity")
    assert [name for name in found.index if name in expected] == list(expected)  # and what came later
    for name, row in expected.items():
        values = [float("nan") if value is None else value for value in row]
        if values[3] == values[4]:  # no spread: an interval has a width, or there is none
            values[3:] = [float("nan")] * 2
        assert found.loc[name].tolist() == pytest.approx(values, rel=1e-9, nan_ok=True), name


def test_the_golden_file_of_experts_loads():
    result, expected = golden("experts", 2)
    assert result.layers == (1, 2)
    for name, values in expected["summary"].items():
        found = result.summary()[name].tolist()
        assert found == (values if name == "layer" else pytest.approx(values, rel=1e-9)), name
