"""A seeded handful of `tests.faults.mutate_checkpoints`."""

from __future__ import annotations

import pytest

from tests.faults.mutate_checkpoints import campaign

pytestmark = pytest.mark.filterwarnings("ignore")


def test_no_mutant_ends_in_a_traceback(tmp_path):
    counts, failures = campaign(24, 5, tmp_path)
    assert not failures, "\n".join(failures)
    assert sum(counts.values()) == 24
    assert sum(count for name, count in counts.items() if name.endswith("refused")) >= 8
