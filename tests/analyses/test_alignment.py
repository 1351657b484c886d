"""Aligning checkpoints into a folder: what is measured and reused, other sources of translations, what is
doubtful."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

import interp.model.loading
import probes.collect
from analyses.runner import run as measured
from interp.data.prompts import prompts_from_facts
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, DataError, ResultError
from interp.model.checkpoints import resolve_checkpoint
from probes.alignment import measure_alignment
from probes.collect import collect
from tests.support.results.alignment import alignment_result, translations
from tests.support.runs import comparisons, only


@pytest.fixture(scope="module")
def config(checkpoints, tmp_path_factory):
    return {
        "ckpt": (str(checkpoints["llama"]), str(checkpoints["other"])),
        "languages": "en,sw,de",
        "limit": 24,
        "dtype": "float32",
        "out": tmp_path_factory.mktemp("alignment"),
    }


@pytest.fixture(scope="module")
def series(config):
    return measured("align", **config)


def test_a_study_is_a_collection_and_a_comparison(config, series):
    """Of questions without their answers."""
    facts = cldr_facts().filter(languages=("en", "sw", "de"), limit=24)
    loaded = interp.model.loading.open_checkpoint(resolve_checkpoint(config["ckpt"][1]), dtype="float32")
    prompts = prompts_from_facts(facts, answer=False)
    expected = measure_alignment(collect(loaded, prompts, positions="weighted"))
    result = only(series)[1]
    assert np.array_equal(result.retrieved, expected.retrieved)
    assert np.array_equal(result.cka, expected.cka)
    assert result.layers == (-1, 0, 1, 2)
    assert result.fact_ids == tuple(f.fact_id for f in facts)
    table = comparisons(series)[0].to_frame().set_index("quantity")
    assert table.change["mutual raw en-x layer 1"] == pytest.approx(
        (result.mexa() - only(series)[0].mexa())[2, 0, 1:].mean()
    )


def test_a_rerun_opens_no_model_and_says_the_same(config, series, no_model):
    again = measured("align", **config)
    pd.testing.assert_frame_equal(comparisons(again)[0].to_frame(), comparisons(series)[0].to_frame())
    for changed, said in [
        ({"positions": "last"}, "positions: weighted there, last asked"),
        ({"layers": "2"}, "layers: all there, 2 asked"),
        ({"dtype": "auto"}, "dtype: float32 there, auto asked"),
        ({"limit": 25}, "24 items there, 25 facts"),
    ]:
        with pytest.raises(ResultError, match="answers another question") as refusal:
            measured("align", **{**config, **changed})
        assert said in str(refusal.value)


def test_parallel_text_is_aligned_line_by_line(config, tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    lines = [f"{word} {i * i}" for i, word in enumerate(["sun", "moon", "rain", "wind"] * 5)]
    (folder / "en.txt").write_text("\n".join(lines) + "\n")
    (folder / "de.txt").write_text("\n".join(line.upper() for line in lines) + "\n")
    text = {"data": str(folder), "languages": "en,de", "limit": 0, "out": tmp_path / "out"}
    asked = {**config, "ckpt": config["ckpt"][:1], **text}
    result = only(measured("align", **asked))[0]
    assert len(result.fact_ids) == 20
    assert list(result.pairs) == ["en-x"]
    (folder / "de.txt").write_text("\n".join(lines[:12]) + "\n")
    with pytest.raises(
        DataError, match=r"is not parallel \(.*\); alignment compares translations of the same lines"
    ):
        measured("align", **{**asked, "out": tmp_path / "other"})


def test_large_activations_are_kept_until_fresh(config, tmp_path, monkeypatch):
    monkeypatch.setattr(probes.collect, "collect", partial(collect, in_memory=0))
    asked = {**config, "ckpt": config["ckpt"][:1], "out": tmp_path}
    first = only(measured("align", **asked))[0]
    kept = {p.name.split(".", 1)[1] for p in tmp_path.iterdir()}
    assert kept == {"alignment.npz", "weighted.activations.npy", "weighted.activations.npy.json"}
    last = only(measured("align", **{**asked, "layers": "0", "fresh": True}))[0]
    assert last.layers == (0,)
    assert np.array_equal(last.retrieved[:, 0], first.retrieved[:, 1])


def test_the_hopeless_is_refused_before_a_model_is_opened(config, no_model, tmp_path):
    asked = {**config, "out": tmp_path / "out"}
    for changed, kind, said in [
        ({"languages": "sw"}, ConfigError, r"One language \(sw\); alignment compares at least 2"),
        ({"limit": 1}, DataError, "One prompt in each language"),
        ({"layers": "1,1"}, ConfigError, "names a layer more than once"),
        ({"data": "nowhere"}, DataError, "No data named 'nowhere'"),
        ({"ckpt": ()}, ConfigError, "No checkpoint: give --ckpt"),
    ]:
        with pytest.raises(kind, match=said):
            measured("align", **{**asked, **changed})
    assert not (tmp_path / "out").exists()


def test_translations_that_do_not_meet_and_few_prompts_are_doubtful():
    assert alignment_result(translations(100)).diagnostics() == []
    assert alignment_result(translations(99)).diagnostics() == [
        "Few prompts: 99; retrieval among few is easy."
    ]
    values = translations(120, noise=0)
    values[:, :, 1] = values[:, ::-1, 1]
    values[:, :, 2] = np.roll(values[:, :, 2], 40, axis=1)
    assert alignment_result(values).diagnostics() == [
        "Translations find each other at no layer more often than by chance (0.0083), at most in 0.0000. "
        "Are these prompts translations of each other?"
    ]
