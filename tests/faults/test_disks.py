"""A full disk, wherever it is met: exit code 74, one line, nothing half, and the same command goes on."""

from __future__ import annotations

import errno
import os
import pkgutil
import subprocess
import sys

import pytest

from interp.errors import NoSpaceError, WriteError
from interp.files import clear_leftovers, disk_errors, disk_failure, temporary_name, write_atomically
from tests.support.command import run
from tests.support.extras import needed
from tests.support.training_runs import (
    grpo_settings,
    little_facts,
    records,
    same,
    save_taught,
    train,
    weights,
)

LINE = (
    "interp: The output cannot be written: No space left on device; free some space and run the same command "
    "again."
)
PROGRAM = "import sys; sys.argv = ['interp', {}]; from interp.__main__ import main; main()"
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
SAID = {
    "torch.save": RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
    "torch.save, closing": RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    "torch.save, at the end": RuntimeError("basic_ios::clear: iostream error"),
    "torch.save, old format": RuntimeError("write(): fd 3 failed with No space left on device"),
    "safetensors": Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    "safetensors, quota": Exception("Error while serializing: I/O error: Disk quota exceeded (os error 122)"),
    "tokenizers": Exception("No space left on device (os error 28)"),
    "numpy": OSError("200000 requested and 51168 written"),
    "pyarrow": OSError(
        errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device"
    ),
    "sqlite": RuntimeError("database or disk is full"),
    "quota": OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    "read-only": OSError(errno.EROFS, os.strerror(errno.EROFS)),
}
"""What libraries raise on a file system without room: measured on a tmpfs, but for quota and read-only."""


@pytest.mark.parametrize("library", SAID)
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_library_is_understood(tmp_path, library, wrapped):
    def fails(stream=None):
        if not wrapped:
            raise SAID[library]
        try:
            raise SAID[library]
        finally:
            raise ValueError("Can't close the ZIP file while there is an open writing handle on it")

    with (
        pytest.raises(NoSpaceError, match="free some space and run the same command again"),
        disk_errors(tmp_path),
    ):
        fails()
    with pytest.raises(NoSpaceError) as caught:
        write_atomically(tmp_path / "x", fails)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (74, False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        ValueError("shapes differ"),
        RuntimeError("can't allocate memory"),
        FileNotFoundError(2, "no"),
        KeyError("os error 28x"),
    ],
)
def test_other_errors_stay_what_they_are(tmp_path, error):
    assert disk_failure(error) is None
    with pytest.raises(type(error)), disk_errors(tmp_path):
        raise error


def test_a_file_that_may_not_be_so_large_is_no_full_disk(tmp_path):
    with pytest.raises(WriteError, match="File too large") as caught, disk_errors(tmp_path):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    assert not isinstance(caught.value, NoSpaceError)


# on the command line


def test_whatever_meets_a_full_disk_is_told_in_one_line(checkpoints, tmp_path, monkeypatch):
    import figures.style

    def full(*arguments, **options):
        raise RuntimeError("could not") from FULL

    monkeypatch.setattr(figures.style, "write_table", full)
    flags = ("--languages", "en,sw", "--limit", 8, "--out", tmp_path)
    done = run("evaluate", "--ckpt", checkpoints["llama"], *flags)
    assert done.code == 74
    assert done.last_line == LINE


def test_a_pipe_that_nobody_reads_is_no_error(tmp_path):
    program = PROGRAM.format("'train', 'sft', '--help'")
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child.stdout.close()
    assert child.stderr.read() == ""
    assert child.wait() == 1
    child.stderr.close()


def test_standard_output_on_a_full_disk():
    program = PROGRAM.format("'--version'")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr == f"{LINE}\n"
    assert done.returncode == 74


# in training

needed("trl")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disks")
    save_taught(folder / "parent")
    little_facts().save(folder / "facts.jsonl")
    return folder


def told(place, out, **changes):
    more = {"steps": 2, "save_every": 1, "lr": 1e-3, "eval_facts": 1, "eval_every": 1, "rollouts_every": 1}
    return grpo_settings(place, out=out, **{**more, **changes})


@pytest.fixture(scope="module")
def whole(place):
    train("grpo", told(place, place / "whole"))
    return weights(place / "whole")


PLACES = {
    "weights": ("transformers.modeling_utils.safe_save_file", SAID["safetensors"], 2),
    "optimizer": ("torch.save", SAID["torch.save"], 5),
    "trainer state": ("transformers.TrainerState.save_to_json", FULL, 2),
    "tokenizer": ("transformers.PreTrainedTokenizerFast.save_pretrained", SAID["tokenizers"], 2),
    "metrics": ("training.run.metrics.MetricsFile.add", FULL, 4),
    "rollouts or evaluations": ("pyarrow.parquet.write_table", SAID["pyarrow"], 4),
    "sync of a state": ("os.fsync", SAID["quota"], 12),
    "manifest": ("training.run.callbacks.seal", FULL, 2),
    "result": ("training.checkpoint.final.write_run_card", FULL, 1),
}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("what", PLACES)
def test_every_file_of_a_run_may_meet_a_full_disk(place, whole, tmp_path, monkeypatch, what):
    out = tmp_path / "out"
    target, error, n = PLACES[what]
    where, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(where)
    real, calls = getattr(owner, name), []

    def full(*arguments, **options):
        calls.append(1)
        if len(calls) >= n:
            raise error
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(NoSpaceError) as caught:
            train("grpo", told(place, out))
    assert "\n" not in str(caught.value)
    assert not (out / "final").exists()
    train("grpo", told(place, out))
    assert same(weights(out), whole)
    assert [record["step"] for record in records(out)] == [1, 2]
    assert not list(out.rglob("*.tmp"))


def test_what_is_there_is_not_asked_for_again(place, tmp_path, monkeypatch):
    """A stopped run whose states fill the disk can go on: it needs room for what is missing alone."""
    from training.run.folder import require_room_for_states

    asked = []
    monkeypatch.setattr("training.run.folder.require_room", lambda folder, n: asked.append(n))
    require_room_for_states(tmp_path, 2, 1000, full=True)
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / "x").write_bytes(b"0" * 12_000)
    require_room_for_states(tmp_path, 2, 1000, full=True)
    assert asked == [40_000, 28_000]


# leftovers


def test_leftovers_of_dead_processes_are_removed_and_counted(tmp_path, caplog):
    dead = [tmp_path / ".r.npz.00000000-1-1.x.tmp", tmp_path / "final.99999999.tmp", tmp_path / ".old.tmp"]
    dead[0].write_text("half")
    dead[1].mkdir()
    (dead[1] / "model.safetensors").write_text("half")
    dead[2].write_text("half")
    for file in dead:
        os.utime(file, (0, 0))
    alive = [tmp_path / f"{temporary_name('r.npz')}x.tmp", tmp_path / ".new.tmp", tmp_path / "notes.tmp"]
    for file in alive:
        file.write_text("half")
    os.utime(alive[2], (0, 0))  # no name of ours
    clear_leftovers(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in alive}
    (line,) = caplog.messages
    assert line.startswith("Removed 3 unfinished files of killed runs, such as ")
    clear_leftovers(tmp_path)
    assert len(caplog.messages) == 1


def test_every_writer_looks_for_leftovers_first(tmp_path, caplog):
    (tmp_path / ".x.00000000-1-1.y.tmp").write_text("half")
    os.utime(tmp_path / ".x.00000000-1-1.y.tmp", (0, 0))
    write_atomically(tmp_path / "x", lambda stream: stream.write(b"1"))
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
    assert len(caplog.messages) == 1
