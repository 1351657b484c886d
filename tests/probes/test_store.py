"""Arrays on disk: whole, taken up again, refused when damaged or another's, and gone when discarded."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

from interp.errors import MeasurementError, NoSpaceError
from probes import store

KEY = {"prompts": "abc", "layers": [0, 1], "positions": "last"}
VALUES = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)


@pytest.fixture
def file(tmp_path):
    array = store.create(tmp_path / "a.npy", VALUES.shape, keep=False)
    array[:] = VALUES
    store.finish(tmp_path / "a.npy", array, KEY)
    return tmp_path / "a.npy"


def test_what_was_written_is_read(file):
    found = store.reopen(file, KEY)
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, VALUES)
    assert not found.flags.writeable
    assert sorted(p.name for p in file.parent.iterdir()) == ["a.npy", "a.npy.json"]


def test_nothing_is_found_before_it_is_finished(tmp_path):
    file = tmp_path / "a.npy"
    assert store.reopen(file, KEY) is None
    array = store.create(file, VALUES.shape, keep=False)
    array[0] = VALUES[0]
    array.flush()
    assert store.reopen(file, KEY) is None
    again = store.create(file, VALUES.shape, keep=True)
    assert np.array_equal(again[0], VALUES[0])
    assert (again[1] == 0).all()
    assert (store.create(file, VALUES.shape, keep=False) == 0).all()


def test_its_blocks_are_reserved_at_once(tmp_path):
    store.create(tmp_path / "a.npy", (1, 1000, 1000), keep=False)
    status = (tmp_path / "a.npy.partial").stat()
    assert status.st_blocks * 512 >= status.st_size > 4_000_000


def test_another_question_is_refused_by_name(file):
    with pytest.raises(
        MeasurementError,
        match=r"a\.npy holds other activations \(prompts: abc there, abd asked; layers: .* there, .* "
        r"asked\)\. Use --fresh",
    ):
        store.reopen(file, {**KEY, "prompts": "abd", "layers": [0, 2]})


def test_a_changed_number_is_found(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(MeasurementError, match=r"is not what was written there \(its checksum differs\)"):
        store.reopen(file, KEY)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"key": 3, "sha256": ""}', json.dumps({"key": KEY}).encode()]
)
def test_a_damaged_manifest_is_refused(file, content):
    file.with_name("a.npy.json").write_bytes(content)
    with pytest.raises(MeasurementError, match=r"a\.npy\.json is damaged\. Use --fresh"):
        store.reopen(file, KEY)


def test_an_array_without_its_manifest_is_unfinished(file):
    file.with_name("a.npy.json").unlink()
    assert store.reopen(file, KEY) is None


def test_discard_leaves_nothing(file):
    store.create(file, (2, 2), keep=False)
    store.discard(file)
    assert list(file.parent.iterdir()) == []
    store.discard(file)


def test_a_full_disk_is_met_at_the_start(tmp_path, monkeypatch):
    def full(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NoSpaceError, match=r"a\.npy"):
        store.create(tmp_path / "a.npy", (10, 10), keep=False)
    assert list(tmp_path.iterdir()) == []


def test_what_is_larger_than_the_disk_is_not_begun(tmp_path):
    with pytest.raises(NoSpaceError):
        store.create(tmp_path / "a.npy", (10**6, 10**6, 10**3), keep=False)
    assert list(tmp_path.iterdir()) == []
