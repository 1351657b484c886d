"""The command as a user types it, in this process or in one of its own, and what it says and writes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import interp.model.loading
from interp import cli
from tests.support import PATIENCE

COLUMNS = 220  # of the terminal that tables are printed for


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        """The last line on stderr, where an error is told."""
        return self.stderr.strip().rpartition("\n")[2]


def run(*arguments: object, columns: int = COLUMNS) -> Finished:
    """Run ``interp ARGUMENTS`` in this process: fast, and monkeypatches reach it."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(sys, "argv", ["interp", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    assert "Traceback" not in err.getvalue()
    return Finished(code, out.getvalue(), err.getvalue())


def refused(*arguments: object, code: int = 2) -> str:
    """Run a command that must fail with one line on stderr and no result; returns the line."""
    finished = run(*arguments)
    lines = [line for line in finished.stderr.splitlines() if line.startswith("interp: ")]
    assert (finished.code, finished.stdout) == (code, "")
    assert len(lines) == 1
    assert finished.stderr.endswith(lines[0] + "\n")
    return lines[0].removeprefix("interp: ")


def run_process(
    *arguments: object, cwd: Path | None = None, warnings: str = "error", **environment: str
) -> Finished:
    """Run ``python ARGUMENTS`` in a process of its own: imports, warnings, signals and exit codes as a user
    meets them."""
    done = subprocess.run(
        [sys.executable, "-W", warnings, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": str(COLUMNS), **environment},
        timeout=PATIENCE,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@contextmanager
def no_model() -> Iterator[None]:
    """Fail when a model is opened meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            interp.model.loading, "open_checkpoint", lambda *a, **k: pytest.fail("a model was opened")
        )
        yield


@contextmanager
def models_opened() -> Iterator[list[str]]:
    """The specs of the checkpoints that are opened meanwhile."""
    specs: list[str] = []
    real = interp.model.loading.open_checkpoint
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            interp.model.loading, "open_checkpoint", lambda c, **o: specs.append(c.spec) or real(c, **o)
        )
        yield specs


@contextmanager
def stopping(kind: type, k: int, number: int = signal.SIGINT) -> Iterator[None]:
    """Send this process a signal while the k-th batch of a kind of pass is being added."""
    calls: list[int] = []
    real = kind.add

    def add(self, batch):
        calls.append(1)
        if len(calls) == k:
            os.kill(os.getpid(), number)
        real(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "add", add)
        yield


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a folder, by name."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}
