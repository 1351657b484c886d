"""A small campaign of kills, stops and pairs of processes; the large one is opt-in, see `campaign`."""

from __future__ import annotations

import re

from tests.support.command import run_process
from tests.support.extras import needed

needed("trl")


def test_nothing_is_lost_and_nothing_is_left():
    """Eight kills and stops with a fixed seed, and two processes at once: the same bits, and no leftover."""
    flags = ("--kills", 8, "--pairs", 2, "--only", "probe,calm", "--fresh-python", 0, "--seed", 3)
    done = run_process("-m", "tests.faults.campaign", *flags, warnings="default")
    assert done.code == 0, done.stdout
    assert re.search(
        r"^(8|9|10) kills and stops in \d+ trials over 2 commands, 0 failed$", done.stdout, re.MULTILINE
    )
