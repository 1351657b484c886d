"""A folder of the user's with the name of one of our packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from interp.shadowing import require_own_packages
from tests.support import PATIENCE


def test_our_own_packages_are_found():
    require_own_packages()


@pytest.mark.parametrize("name", ["figures", "analyses"])
def test_a_package_that_hides_ours_is_named_in_one_line(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "interp", "--help"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"interp: Python finds another package '{name}' (")
