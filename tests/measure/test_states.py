"""The saved state of an interrupted pass that was edited, or is of something else, is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest

from interp.errors import InterpError
from interp.measure.passes import _restore
from interp.results.storage import write_archive

WHOLE = {"key": {"a": 1}, "done": 2, "largest": 3}


class Sums:
    """Two arrays."""

    def __init__(self) -> None:
        self.values = {"x": np.zeros((2, 3)), "n": np.zeros(2, dtype=np.int64)}

    def state(self):
        return self.values

    def restore(self, state):
        self.values = state


def test_a_whole_state_is_taken_up(tmp_path):
    file, sums = tmp_path / "x.partial", Sums()
    write_archive(file, WHOLE, {"x": np.ones((2, 3)), "n": np.ones(2, dtype=np.int64)})
    assert _restore(file, {"a": 1}, sums) == (2, 3)
    assert sums.values["x"].sum() == 6


@pytest.mark.parametrize(
    ("meta", "arrays"),
    [
        ({"done": -1}, {}),
        ({"done": True}, {}),
        ({"done": "2"}, {}),
        ({"largest": None}, {}),
        ({"key": 3}, {}),
        ({"key": {"a": 2}}, {}),
        ({}, {"x": np.ones((3, 2))}),
        ({}, {"x": np.ones((2, 3), dtype=np.float32)}),
        ({}, {"n": np.ones(2)}),
        ({}, {"n": None}),
    ],
)
def test_another_is_refused(tmp_path, meta, arrays):
    file = tmp_path / "x.partial"
    whole = {"x": np.ones((2, 3)), "n": np.ones(2, dtype=np.int64)} | arrays
    write_archive(file, {**WHOLE, **meta}, {k: v for k, v in whole.items() if v is not None})
    with pytest.raises(InterpError, match="Use --fresh to discard it") as caught:
        _restore(file, {"a": 1}, Sums())
    assert str(file) in str(caught.value)
