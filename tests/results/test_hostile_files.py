"""Saved results are read as hostile: a result as its class declares it, or one line that says why not."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from interp.errors import ResultError
from interp.results import checking, load_result, storage
from interp.results.storage import read_archive, write_archive
from tests.support.command import refused
from tests.support.golden import FOLDER

KINDS = sorted(file.name.partition("-")[0] for file in FOLDER.glob("*.npz"))
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def saved(tmp_path, kind) -> Path:
    """A result of a kind, saved by this version."""
    return load_result(min(FOLDER.glob(f"{kind}-schema-*.npz"))).save(tmp_path / "r.npz")


def changed(file: Path, meta=(), arrays=(), without=()) -> Path:
    """The file with parts of its description and arrays replaced, or left out."""
    had, had_arrays = read_archive(file)
    parts = {**had, **dict(meta)}, {**had_arrays, **dict(arrays)}
    write_archive(file, *({k: v for k, v in part.items() if k not in without} for part in parts))
    return file


def refusal(file: Path) -> str:
    """Why a file is refused, in one line that names it."""
    with pytest.raises(ResultError) as caught:
        load_result(file)
    text = str(caught.value)
    assert "\n" not in text
    assert str(file) in text
    return text


# what the description says


@every_kind
@pytest.mark.parametrize("schema", [0, -1, True, None, "1", 1.0, 3, 10**30, [1]])
def test_a_schema_is_a_number_that_we_know(saved, schema):
    text = refusal(changed(saved, {"schema": schema}))
    newer = type(schema) is int and schema > 2
    assert ("Upgrade interp" if newer else "a number from 1 to 2 is expected") in text


@every_kind
@pytest.mark.parametrize("value", [None, True, 3, 1.5, "x", {}, {"a": []}, [None], [[["x"]]], [{"a": 1}]])
def test_every_plain_field_has_its_type(saved, value):
    meta, arrays = read_archive(saved)
    for name in meta.keys() - {"schema", "kind", "provenance"}:
        if type(value) is type(meta[name]) and not isinstance(value, list):
            continue  # another text or number: what it may be is tested by kind
        write_archive(saved, {**meta, name: value}, arrays)
        with pytest.raises(ResultError, match=rf"r\.npz: '{name}' (is|has length) .* expected"):
            load_result(saved)


@every_kind
def test_every_part_is_there(saved):
    meta, arrays = read_archive(saved)
    later = {"calibrated_parts", "routed", "parts"}  # results of older versions lack it
    for name in (meta.keys() | arrays.keys()) - {"schema", "kind", "provenance"} - later:
        changed(saved, without=(name,))
        with pytest.raises(ResultError, match=rf"lacks parts of a '.*' result \('{name}'\)"):
            load_result(saved)
        write_archive(saved, meta, arrays)
    assert "'provenance' is None; a table is expected" in refusal(changed(saved, without=("provenance",)))


@every_kind
@pytest.mark.parametrize(
    "change",
    [
        lambda codes: [codes[0], *codes[:-1]],
        lambda codes: [*codes[:-1], "xx"],
        lambda codes: codes[::-1],
        lambda codes: [*codes, "xx"],
        lambda codes: codes[1:],
        lambda codes: ["", *codes[1:]],
        lambda codes: [*codes[:-1], "\x1b[31m"],
    ],
    ids=["twice", "unknown", "reordered", "surplus", "fewer", "empty", "control"],
)
def test_languages_are_those_of_the_settings_in_their_order(saved, change):
    meta, _ = read_archive(saved)
    settings = {**meta["provenance"]["settings"], "languages": meta["languages"]}
    changed(saved, {"provenance": {**meta["provenance"], "settings": settings}})
    load_result(saved)
    refusal(changed(saved, {"languages": change(meta["languages"])}))


@pytest.mark.parametrize("kind", ["patching"])
@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("checkpoint", 3, "'provenance.checkpoint' is 3; a text is expected"),
        ("checkpoint", "\x1b]0;x", "'provenance.checkpoint' has the character U+001B"),
        ("settings", [], r"'provenance.settings' is []; a table is expected"),
        ("run", {"notes": 3}, "'provenance.run.notes' is 3; a list of texts is expected"),
        ("settings", {"languages": "en"}, "'provenance.settings.languages' is 'en'; a list of texts"),
        ("settings", {"x": [[[[[[[[[[]]]]]]]]]]}, "tables within tables"),
    ],
)  # fmt: skip
def test_provenance_is_checked_like_the_rest(saved, path, value, words):
    meta, _ = read_archive(saved)
    assert words in refusal(changed(saved, {"provenance": {**meta["provenance"], path: value}}))


@pytest.mark.parametrize("kind", ["heads"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"kind": "heads", "kind": "heads"}', "the key 'kind' stands twice"),
        (b"[1]", "its description is no table"),
        (b'{"kind": "\xff"}', "can't decode byte"),
        (b'{"kind": "\\ud800"}', "surrogates not allowed"),
        (b"[" * 100_000, "damaged"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "damaged"),
        (b"", "damaged"),
    ],
    ids=["twice", "list", "latin", "surrogate", "deep", "huge", "empty"],
)
def test_a_description_is_plain_json(saved, text, words):
    _, arrays = read_archive(saved)
    np.savez(saved, meta=np.frombuffer(text, dtype=np.uint8), **arrays)
    assert words in refusal(saved)


# what arrays say of themselves


@every_kind
def test_shapes_and_types_are_the_declared_ones(saved):
    meta, arrays = read_archive(saved)
    wrong = {
        "complex": lambda a: a.astype(np.complex64),
        "text": lambda a: a.astype("U3"),
        "foreign order": lambda a: np.zeros(a.shape, ">f8"),
        "other type": lambda a: np.zeros(a.shape, np.uint16),
        "an axis more": lambda a: a[None],
        "flat": lambda a: a.ravel() if a.ndim > 1 else a[:, None],
        "first axis longer": lambda a: np.concatenate([a, a]),
        "first axis empty": lambda a: a[:0],
    }
    for name, array in arrays.items():
        for change in wrong.values():
            made = change(array)
            if made.shape == array.shape and made.dtype == array.dtype:
                continue
            write_archive(saved, meta, {**arrays, name: made})
            with pytest.raises(ResultError, match=r"expected|has type") as caught:
                load_result(saved)
            assert name in str(caught.value) or "along" in str(caught.value)


@every_kind
def test_surplus_arrays_are_refused(saved):
    assert "an array 'extra'; none but" in refusal(changed(saved, arrays={"extra": np.zeros(3)}))


@every_kind
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_none_can_be(saved, value):
    """A statistic that may be missing may be NaN, but not where it is there; nothing is infinite."""
    whole, (meta, arrays) = type(load_result(saved)), read_archive(saved)
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not array.size or (np.abs(value) > 1e38 and array.dtype == np.float32):
            continue
        poisoned = array.copy()
        poisoned.flat[np.flatnonzero(~np.isnan(array.ravel()))[0]] = value
        write_archive(saved, meta, {**arrays, name: poisoned})
        declared = next(each for each in checking._fields(whole) if each.name == name)
        may_be_missing = declared.of(checking.Numbers) and declared.of(checking.Numbers).missing
        if np.isnan(value) and may_be_missing and name not in ("clean", "corrupt", "log_probability", "mass"):
            continue
        with pytest.raises(ResultError, match=f"'{name}'|options have a score|right answers have no"):
            load_result(saved)


@every_kind
def test_counts_are_within_their_bounds(saved):
    meta, arrays = read_archive(saved)
    for name, array in arrays.items():
        if array.dtype.kind == "i" and array.size:
            write_archive(saved, meta, {**arrays, name: np.full_like(array, -2)})
            with pytest.raises(ResultError, match=f"'{name}' has the value -2"):
                load_result(saved)


@pytest.mark.parametrize("kind", ["neurons"])
def test_nothing_is_inflated_before_it_is_checked(saved, monkeypatch):
    """A bomb under a known name, under a foreign one, and as the description."""
    meta, arrays = read_archive(saved)
    inflated = []
    real = storage.Archive._array
    monkeypatch.setattr(storage.Archive, "_array", lambda self, *a: inflated.append(a[0]) or real(self, *a))
    zeros = np.zeros((3, 8, 2, 2_000_000), dtype=np.int8)
    write_archive(saved, meta, {**arrays, "counts": zeros})
    assert "which no measurement compresses to" in refusal(saved)
    write_archive(saved, meta, {**arrays, "bomb": zeros})
    assert "an array 'bomb'" in refusal(saved)
    write_archive(saved, meta, {**arrays, "tokens": zeros})
    assert "'tokens' is int8" in refusal(saved)
    assert set(inflated) == {"meta"}
    np.savez_compressed(saved, meta=np.zeros(10**8, dtype=np.uint8), **arrays)
    assert "a description of 100 MB" in refusal(saved)


@pytest.mark.parametrize("kind", ["neurons"])
def test_arrays_beyond_memory(saved, monkeypatch):
    monkeypatch.setattr(storage, "_available", lambda: 1000)
    with pytest.raises(ResultError, match=r"of 0\.0 GB, and 0\.0 GB of memory are available"):
        read_archive(saved)


@pytest.mark.parametrize("kind", ["neurons"])
@pytest.mark.parametrize("shape", ["(10**12,)", "(1000000000000,)", "(-1,)", "(True,)", "(2, 2"])
def test_a_header_that_lies(saved, shape):
    text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    parts = {}
    with zipfile.ZipFile(saved) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    parts["counts.npy"] = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 8
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, content in parts.items():
            made.writestr(name, content)
    saved.write_bytes(stream.getvalue())
    refusal(saved)


@pytest.mark.parametrize("kind", ["neurons"])
def test_no_pickle_is_opened(saved, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    _, arrays = read_archive(saved)
    meta, _ = read_archive(saved)
    text = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    np.savez(saved, allow_pickle=True, meta=text, **{**arrays, "counts": np.array([Evil()], dtype=object)})
    assert "'counts' has type object" in refusal(saved)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["neurons"])
def test_the_command_says_what_python_says(saved):
    text = refusal(changed(saved, {"languages": ["en", "en", "ja"]}))
    assert text.endswith(
        "r.npz: 'languages' has 'en' twice; each once is expected. It was edited or is damaged: take an "
        "undamaged copy, or measure again with --fresh."
    )
    assert refused("compare", saved, saved) == text
    assert refused("compare", FOLDER / "neurons-schema-1.npz", saved) == text


# what belongs together


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("neurons", {"counts": lambda a: a + 10**6}, "'counts' exceeds 'tokens' in places"),
        ("heads", {"magnitude": lambda a: a * np.nan}, "'magnitude' has NaN in 240 places"),
        ("patching", {"clean": lambda a: a * np.nan}, "'clean' has values where facts were left out, or NaN"),
        ("behavior", {"gold": lambda a: a + 4}, "'gold' has the value"),
        ("routing", {"dots": lambda a: -np.abs(a)}, "'dots' has a negative square"),
        ("lens", {"clean": np.zeros_like}, "the tokenizer joins the end of the prompt"),
        ("probe", {"correct": lambda a: a + 3}, "'correct' has the value"),
        ("generation", {"named": lambda a: a - 5}, "'named' has the value"),
    ],
)
def test_values_that_contradict_each_other(saved, changes, words):
    _, arrays = read_archive(saved)
    assert words in refusal(changed(saved, arrays={n: change(arrays[n]) for n, change in changes.items()}))
