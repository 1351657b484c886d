"""One writer per folder: a live one is respected, a dead one followed, and races have one winner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from interp import ownership, processes
from interp.ownership import OwnedError, dead_records, owned, require_owned
from interp.processes import Process, this_process
from tests.support.command import run_process


def record(folder, name="", age=0.0, **changes):
    """What a process left in a folder that it owned."""
    file = folder / (f".{name}.owner" if name else ".owner")
    mine = {"host": this_process().host, "pid": os.getpid(), "started": this_process().started}
    file.write_text(json.dumps({"name": "elsewhere", **mine, **changes}))
    now = time.time() - age
    os.utime(file, (now, now))
    return file


def gone() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_folder_has_one_owner_and_none_afterwards(tmp_path):
    out = tmp_path / "deep" / "out"
    with owned(out) as first:
        there = json.loads((out / ".owner").read_text())
        assert (there["pid"], there["host"]) == (os.getpid(), this_process().host)
        with owned(out) as again:  # of this process
            assert again is first
        assert (out / ".owner").exists()
    assert not out.exists()  # nothing was written, so nothing is left
    with owned(out):
        (out / "x").touch()
    assert [p.name for p in out.iterdir()] == ["x"]


def test_a_live_one_is_refused_and_its_record_stays(tmp_path):
    code = (
        "import time; from pathlib import Path; from interp.ownership import owned\n"
        f"with owned(Path({str(tmp_path)!r})): print('ready', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    with (
        pytest.raises(OwnedError, match=f"is being written by process {child.pid} on .* another --out"),
        owned(tmp_path),
    ):
        pytest.fail("two owners")
    with owned(tmp_path, "part"):  # another part is free
        pass
    assert (tmp_path / ".owner").exists()
    child.kill()
    child.wait()
    with owned(tmp_path):  # the dead one's is taken over
        assert json.loads((tmp_path / ".owner").read_text())["pid"] == os.getpid()
    child.stdout.close()


@pytest.mark.parametrize(
    ("changes", "age", "alive"),
    [
        ({"pid": None}, 0, False),  # ended
        ({"started": 1}, 0, False),  # its number was given to another process
        ({"host": "0" * 8}, 10, True),  # another host: by the age of the heartbeat
        ({"host": "0" * 8}, 3600, False),
        ({"host": 3, "pid": "x"}, 0, False),  # cut short
    ],
)
def test_who_counts_as_dead(tmp_path, changes, age, alive, caplog):
    changes = {name: gone() if value is None else value for name, value in changes.items()}
    record(tmp_path, age=age, **changes)
    if alive:
        with pytest.raises(OwnedError), owned(tmp_path):
            pass
        assert dead_records(tmp_path) == []
    else:
        with owned(tmp_path):
            pass
        assert sum("Taking over" in text for text in caplog.messages) == 1


def test_a_zombie_is_dead():
    child = os.fork()
    if child == 0:
        os._exit(0)
    until = time.monotonic() + 30
    while processes._started(child) is not None and time.monotonic() < until:
        time.sleep(0.01)  # it has ended, and nobody has waited for it
    assert processes._started(child) is None
    os.waitpid(child, 0)


@pytest.mark.parametrize(("dead", "locks"), [(False, True), (True, True), (False, False)])
def test_of_many_at_once_one_wins(tmp_path, monkeypatch, dead, locks):
    """Eight claim a folder, free or a dead one's, also where locks do nothing: seven are refused."""
    if not locks:
        monkeypatch.setattr(ownership.fcntl, "flock", lambda *_: None)
        read = ownership._read  # all look before one writes
        monkeypatch.setattr(ownership, "_read", lambda record: (read(record), time.sleep(0.1))[0])
    out = tmp_path / "out"
    out.mkdir()
    if dead:
        record(out, pid=gone())
    reading, writing = os.pipe()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            code = 2
            try:
                os.close(writing)
                os.read(reading, 1)  # until the parent closes it: the start
                with owned(out):
                    time.sleep(0.5)
                    code = 0
            except OwnedError:
                code = 1
            finally:
                os._exit(code)
        children.append(child)
    os.close(writing)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    os.close(reading)
    assert codes == [0, *[1] * 7]
    assert list(out.iterdir()) == []


def test_who_was_faster_keeps_the_folder(tmp_path):
    """Between reading the record of a dead owner and removing it, another process has taken over."""
    file = record(tmp_path, pid=gone())
    stale = file.read_text()
    new = record(tmp_path).read_text()
    assert not ownership._retire(file, stale)
    assert file.read_text() == new
    assert [p.name for p in tmp_path.iterdir()] == [".owner"]


def test_a_process_that_was_taken_for_dead_stops_before_it_writes(tmp_path):
    with owned(tmp_path):
        require_owned(tmp_path)
        record(tmp_path, pid=1)
        with pytest.raises(OwnedError, match="process 1 on elsewhere has taken over"):
            require_owned(tmp_path)
    assert json.loads((tmp_path / ".owner").read_text())["pid"] == 1  # which is not ours to remove


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "_BEAT", 0.01)
    ownership._start_heart.cache_clear()
    with owned(tmp_path) as own:
        os.utime(own.record, (0, 0))
        until = time.monotonic() + 30
        while own.record.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert own.record.stat().st_mtime > 0


def test_who_waits_goes_on_when_the_owner_ends(tmp_path, monkeypatch):
    record(tmp_path, "r.npz", host="0" * 8)
    monkeypatch.setattr(processes, "SILENT", 0.3)
    with owned(tmp_path, "r.npz", wait=True):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_process_owns_nothing_and_leaves_no_half_file(tmp_path, number):
    code = (
        "import os; from pathlib import Path; from interp.files import write_atomically\n"
        "from interp.interruption import end_at_once; from interp.ownership import owned\n"
        "end_at_once(lambda: 'stopped')\n"
        f"out = Path({str(tmp_path)!r})\n"
        "with owned(out), owned(out, 'x'):\n"
        f"  write_atomically(out / 'x', lambda s: (s.write(b'1'), os.kill(os.getpid(), {int(number)})))"
    )
    done = run_process("-c", code)
    assert (done.code, done.stderr) == (130, "stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_a_tag_names_its_process():
    mine = this_process()
    assert processes.writer_of(f".r.npz.{mine.tag}.x.tmp") == mine
    assert processes.writer_of(".r.npz.x1.tmp") is None
    assert not Process(mine.host, mine.pid, mine.started + 1).alive(None)
