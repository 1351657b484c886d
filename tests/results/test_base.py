"""Saving, loading, splitting and shuffling of results."""

from __future__ import annotations

import numpy as np
import pytest

from interp.errors import ResultError
from interp.results import HeadsResult, SpecializationResult, load_result
from interp.results.storage import read_archive, write_archive
from tests.support.golden import golden
from tests.support.results import heads, neurons, provenance

RATES = np.random.default_rng(0).random((3, 2, 5))


@pytest.mark.parametrize("result", [neurons(RATES), heads(RATES)], ids=["neurons", "heads"])
def test_round_trip(result, tmp_path):
    again = load_result(result.save(tmp_path / "r.npz"))
    assert type(again) is type(result)
    assert again.languages == result.languages
    assert again.provenance == result.provenance
    for name, array in result._arrays().items():
        assert np.array_equal(getattr(again, name), array)
        assert getattr(again, name).dtype == array.dtype
    assert again.overall.value == result.overall.value


def test_no_pickle_is_needed(tmp_path):
    file = neurons(RATES).save(tmp_path / "r.npz")
    with np.load(file, allow_pickle=False) as archive:
        assert {a.dtype.hasobject for a in archive.values()} == {False}


@pytest.mark.parametrize(("name", "kind"), [("neurons", SpecializationResult), ("heads", HeadsResult)])
def test_golden_files_of_schema_1_load(name, kind):
    result, expected = golden(name)
    assert type(result) is kind
    assert result.overall.value == pytest.approx(expected["overall"], rel=1e-12)
    assert result.per_layer.value == pytest.approx(expected["per_layer"], rel=1e-12)
    assert result.provenance.checkpoint == expected["checkpoint"]


def test_damaged_and_foreign_files_are_refused(tmp_path):
    file = neurons(RATES).save(tmp_path / "r.npz")
    whole = file.read_bytes()
    for content in (b"", b"garbage", whole[: len(whole) // 2], whole[:-30]):
        file.write_bytes(content)
        with pytest.raises(ResultError, match="not a result of interp, or is damaged"):
            load_result(file)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(ResultError, match="not a result of interp"):
        load_result(tmp_path / "other.npz")
    with pytest.raises(ResultError, match="No result at"):
        load_result(tmp_path / "absent.npz")


def test_wrong_kind_newer_schema_and_missing_parts(tmp_path):
    file = neurons(RATES).save(tmp_path / "r.npz")
    with pytest.raises(ResultError, match="of kind 'specialization'; 'heads' is expected"):
        HeadsResult.load(file)
    meta, arrays = read_archive(file)
    write_archive(file, {**meta, "schema": 3}, arrays)
    with pytest.raises(ResultError, match="has schema 3; this version reads up to 2"):
        load_result(file)
    write_archive(file, {**meta, "kind": "sorcery"}, arrays)
    with pytest.raises(ResultError, match=r"of kind 'sorcery'\. Choose from: specialization, heads, "):
        load_result(file)
    write_archive(file, meta, {k: v for k, v in arrays.items() if k != "counts"})
    with pytest.raises(ResultError, match=r"lacks parts of a 'specialization' result \(.*counts"):
        load_result(file)


def test_unknown_keys_of_a_later_minor_version_do_not_hurt(tmp_path):
    file = neurons(RATES).save(tmp_path / "r.npz")
    meta, arrays = read_archive(file)
    meta["provenance"]["license"] = "x"
    write_archive(file, {**meta, "color": "blue"}, arrays)
    assert load_result(file).languages == ("en", "sw", "ja")


def test_subset_keeps_the_chosen_blocks():
    result = neurons(RATES)
    half = result.subset([1, 3, 5])
    assert half.n_blocks == 3
    assert np.array_equal(half.counts, result.counts[:, [1, 3, 5]])
    assert np.array_equal(half.tokens, result.tokens[:, [1, 3, 5]])


def test_permuting_languages_keeps_every_block_and_moves_labels():
    result = neurons(RATES)
    shuffled = result.with_permuted_languages(np.random.default_rng(0))
    assert not np.array_equal(shuffled.counts, result.counts)
    assert np.array_equal(np.sort(shuffled.counts, axis=0), np.sort(result.counts, axis=0))
    for block in range(8):  # a language's neurons move together
        for row in shuffled.counts[:, block]:
            assert any(np.array_equal(row, original) for original in result.counts[:, block])


def test_differences_name_what_was_asked_differently():
    ours, theirs = provenance("a", blocks=8, dtype="auto"), provenance("b", blocks=4, dtype="float32")
    assert ours.differences(theirs) == {"blocks": (8, 4), "dtype": ("auto", "float32")}
    assert ours.differences(theirs, ignore=("dtype",)) == {"blocks": (8, 4)}
    assert ours.differences(provenance("b", blocks=8, dtype="auto")) == {}  # checkpoints may differ


def test_html_is_escaped():
    result = neurons(RATES, name="<script>alert(1)</script>")
    assert "<script>" not in result._repr_html_()
