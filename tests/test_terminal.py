"""Nothing that moves a cursor, colors, turns a line round or hides reaches the terminal."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest

from figures.table import Table, print_tables
from interp.characters import visible
from interp.commands.measures import print_diagnostics
from interp.console import console, progress_bars, say_files, visible_streams
from interp.results.storage import read_archive, write_archive
from tests.support import PATIENCE
from tests.support.command import run
from tests.support.golden import FOLDER

HOSTILE = {
    "color": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "csi": "\x9b2J",
    "carriage return": "good\rbad",
    "backspace": "a\x08b",
    "bidi": "\u202eabc\u2066d",
    "zero width": "a\u200bb\ufeff",
    "joiner": "a\u200db",
    "soft hyphen": "a\u00adb",
    "tag": "a\U000e0041",
    "line separator": "a\u2028b",
    "blank letter": "a\u3164b",
    "half a character": "a\ud800",
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


def unseen(text: str) -> list[str]:
    """The characters of an output that cannot be seen."""
    return [character for character in text if character not in "\n\t" and visible(character) != character]


def shown(show) -> str:
    """What is written to either stream."""
    stream = io.StringIO()
    with redirect_stdout(stream), redirect_stderr(stream), visible_streams():
        show()
    return stream.getvalue()


def _log(text):
    logger = logging.Logger("library")
    logger.addHandler(logging.StreamHandler())
    logger.warning("Loaded %s", text)


def _warn(text):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(text, UserWarning, stacklevel=1)


def _progress(text):
    with progress_bars() as progress:
        progress(text, 1, 2)


WAYS = {
    "print": lambda text: print(text),
    "print to stderr": lambda text: print(text, file=sys.stderr),
    "log": _log,
    "warning": _warn,
    "table": lambda text: print_tables([Table(text, (text, "x"), ((text, text),), note=text)], console()),
    "console": lambda text: console().print(text, markup=False),
    "diagnostics": lambda text: print_diagnostics([text]),
    "files": lambda text: say_files([_path(text)]),
    "progress": _progress,
}


def _path(text):
    from pathlib import Path

    return Path(text) / "x.npz"


@hostile
@pytest.mark.parametrize("way", WAYS)
def test_whoever_writes_it(text, way):
    assert unseen(shown(lambda: WAYS[way](text))) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("{}",),
        ("evaluate", "{}"),
        ("evaluate", "--{}", "1"),
        ("evaluate", "--limit", "{}"),
        ("evaluate", "--data", "{}"),
        ("evaluate", "--languages", "{}"),
        ("evaluate", "--ckpt", "{}"),
        ("evaluate", "--ckpt", "{}=organism:final", "--device", "{}"),
        ("evaluate", "--config", "{}"),
        ("compare", "{}", "b"),
        ("data", "check", "{}"),
        ("train", "sft", "--model", "{}"),
        ("train", "{}"),
    ],
)
def test_arguments(arguments, tmp_path, monkeypatch):
    text = "".join(HOSTILE.values())
    monkeypatch.chdir(tmp_path)
    finished = run(*(argument.format(text) for argument in arguments))
    assert finished.code == 2
    assert unseen(finished.stdout + finished.stderr) == []
    assert len([line for line in finished.stderr.splitlines() if line.startswith("interp: ")]) == 1


@hostile
def test_a_name_in_a_result(text, tmp_path):
    """A name that hides something is refused; one that does not is shown as it is."""
    meta, arrays = read_archive(FOLDER / "neurons-schema-1.npz")
    for part in ("checkpoint", "prompts"):
        file = tmp_path / "r.npz"
        provenance = json.loads(json.dumps({**meta["provenance"], part: f"x{text}"}))
        try:
            write_archive(file, {**meta, "provenance": provenance}, arrays)
        except UnicodeEncodeError:
            return  # half a character cannot be written as UTF-8
        finished = run("compare", file, file)
        assert unseen(finished.stdout + finished.stderr) == []


@pytest.mark.parametrize("text", ["可視", "می‌شود", "ক্‍ষ", "Côte d’Ivoire", "a\tb\nc", "e\u0301"])
def test_what_can_be_seen_stays(text):
    assert shown(lambda: print(text)) == f"{text}\n"


def test_an_output_name(tmp_path):
    file = FOLDER / "neurons-schema-1.npz"
    finished = run("compare", file, file, "--out", tmp_path / "x\x1b[31m\u202ey")
    assert finished.code == 0
    assert unseen(finished.stdout + finished.stderr) == []
    assert "x\\u001b[31m\\u202ey" in finished.stdout


def test_a_real_terminal_gets_our_colors_and_no_others(tmp_path):
    """Tables are drawn with the terminal's own codes; a name in a file adds none."""
    meta, arrays = read_archive(FOLDER / "neurons-schema-1.npz")
    file = tmp_path / "r.npz"
    write_archive(file, {**meta, "provenance": {**meta["provenance"], "checkpoint": "\u00ad[31mx"}}, arrays)
    host, guest = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "interp", "compare", str(file), str(file)],
        stdout=guest,
        stderr=guest,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(guest)
    written = b""
    try:
        while part := os.read(host, 65536):
            written += part
    except OSError:
        pass  # the other end is closed
    assert process.wait(PATIENCE) == 0
    text = written.decode()
    assert "\x1b[" in text
    assert "\u00ad" not in text
    assert "\\u00ad[31mx" in text
    assert np.all([code[-1:] == "m" or "m" in code for code in text.split("\x1b[")[1:]])
