"""Probing checkpoints into a folder: what is measured, reused and shared, what decides the labels, what is
doubtful."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

import interp.model.loading
import probes.collect
from analyses.plan import facts_of
from analyses.runner import run as measured
from interp.config import DataOptions
from interp.data.demonstrations import prompts_with_demonstrations
from interp.data.prompts import prompts_from_facts
from interp.data.sources.cldr import cldr_facts
from interp.errors import ConfigError, DataError, MeasurementError, ResultError
from interp.model.checkpoints import resolve_checkpoint
from interp.results.base import Provenance
from probes.collect import collect
from probes.tasks import UNASKED, language_task
from tests.support.measuring import measure_probes
from tests.support.results.probes import probe_result, random_probe_result
from tests.support.runs import comparisons, only


@pytest.fixture(scope="module")
def config(checkpoints, tmp_path_factory):
    return {
        "ckpt": (str(checkpoints["llama"]), str(checkpoints["other"])),
        "languages": "en,sw",
        "limit": 30,
        "layers": "embedding,2",
        "folds": 3,
        "dtype": "float32",
        "out": tmp_path_factory.mktemp("probing"),
    }


@pytest.fixture(scope="module")
def series(config):
    return measured("probe", **config)


@pytest.fixture
def on_disk(monkeypatch):
    """However small, activations count as large."""
    monkeypatch.setattr(probes.collect, "collect", partial(collect, in_memory=0))


def test_a_study_is_a_collection_and_a_sweep(config, series):
    facts = cldr_facts().filter(languages=("en", "sw"), limit=30)
    loaded = interp.model.loading.open_checkpoint(resolve_checkpoint(config["ckpt"][1]), dtype="float32")
    found = collect(loaded, prompts_from_facts(facts, answer=False), layers=(-1, 2))
    expected = measure_probes(found, facts, language_task(facts), folds=3)
    result = only(series)[1]
    assert np.array_equal(result.correct, expected.correct)
    assert np.array_equal(result.control, expected.control)
    assert result.fact_ids == expected.fact_ids
    assert result.layers == (-1, 2)
    assert [p.name.split(".", 1)[1] for p in series.files] == ["language.probe.npz"] * 2
    table = comparisons(series)[0].to_frame().set_index("quantity")
    assert table.change["accuracy layer 2"] == pytest.approx(
        (result.curves()["accuracy"] - only(series)[0].curves()["accuracy"])[1].mean()
    )


def test_a_rerun_opens_no_model_and_says_the_same(config, series, no_model):
    again = measured("probe", **config)
    pd.testing.assert_frame_equal(comparisons(again)[0].to_frame(), comparisons(series)[0].to_frame())
    for changed, said in [
        ({"positions": "mean"}, "positions: last there, mean asked"),
        ({"site": "mlp_out", "layers": "2"}, "site: resid_post there, mlp_out asked"),
        ({"layers": "2"}, "layers: embedding,2 there, 2 asked"),
        ({"folds": 4}, "folds: 3 there, 4 asked"),
        ({"l2": 0.2}, "l2: 0.1 there, 0.2 asked"),
        ({"seed": 1}, "seed: 0 there, 1 asked"),
        ({"dtype": "auto"}, "dtype: float32 there, auto asked"),
        ({"languages": "sw,en"}, "languages: en,sw there, sw,en asked"),
        ({"limit": 31}, "prompts: 30 facts, prompt_format native; 30 items there, 31 facts"),
    ]:
        with pytest.raises(ResultError, match="answers another question") as refusal:
            measured("probe", **{**config, **changed})
        assert said in str(refusal.value)
    assert only(measured("probe", **{**config, "batch_tokens": 100}))[0].layers == (-1, 2)


def test_labels_of_being_right_are_the_models_answers(config, tmp_path):
    asked = {**config, "task": "right", "ckpt": config["ckpt"][:1], "out": tmp_path, "limit": 40}
    result = only(measured("probe", **asked))[0]
    evaluation = {"languages": "en,sw", "limit": 40, "dtype": "float32", "out": tmp_path}
    answers = only(measured("evaluate", ckpt=asked["ckpt"], **evaluation))[0]
    credit = answers.credit("byte") == 1
    assert np.array_equal(result.labels == 1, credit & (result.labels != UNASKED))
    assert (result.labels[:, 0] != UNASKED).all()
    assert {p.name.split(".", 1)[1] for p in tmp_path.iterdir()} == {"right.probe.npz", "behavior.npz"}
    with pytest.raises(ResultError, match="scoring: byte there, sum asked"):
        measured("probe", **{**asked, "scoring": "sum"})
    summed = only(measured("probe", **{**asked, "scoring": "sum", "fresh": True}))[0]
    assert np.array_equal(summed.labels[:, 0] == 1, answers.credit("sum")[:, 0] == 1)


def test_the_probed_prompt_is_the_one_that_the_model_answers(config):
    """So that the last token is where it decides."""
    facts = facts_of(DataOptions(languages="en,sw", limit=30))
    asked, probed = prompts_with_demonstrations(facts), prompts_from_facts(facts, answer=False)
    for code in ("en", "sw"):
        assert [p.text for p in probed.prompts[code]] == [p.text for p in asked.prompts[code]]


def test_large_activations_are_shared_by_tasks_of_the_same_positions(config, tmp_path, on_disk, monkeypatch):
    asked = {**config, "ckpt": config["ckpt"][:1], "out": tmp_path, "limit": 100, "languages": "en,de"}
    first = only(measured("probe", **asked))[0]
    kept = {p.name.split(".", 1)[1] for p in tmp_path.iterdir()}
    assert kept == {"language.probe.npz", "last.activations.npy", "last.activations.npy.json"}
    with monkeypatch.context() as patch:
        patch.setattr(probes.collect.Collector, "add", lambda *a: pytest.fail("a model was run"))
        measured("probe", **{**asked, "task": "answer"})
        again = only(measured("probe", **{**asked, "fresh": False, "folds": 3, "out": tmp_path}))[0]
    assert np.array_equal(again.correct, first.correct)
    with pytest.raises(
        MeasurementError, match=r"activations\.npy holds other activations \(site: resid_post there"
    ):
        measured("probe", **{**asked, "task": "right", "site": "attn_out", "layers": "2"})
    fresh = only(measured("probe", **{**asked, "site": "attn_out", "layers": "2", "fresh": True}))[0]
    assert fresh.layers == (2,)
    assert not np.array_equal(fresh.correct, first.correct)


def test_every_position_and_site_reads_something_else(config, tmp_path):
    found = []
    for index, (positions, site) in enumerate(
        [("last", "resid_post"), ("subject_last", "resid_post"), ("mean", "resid_post"), ("last", "mlp_out")]
    ):
        read = {"layers": "1", "positions": positions, "site": site, "out": tmp_path / str(index)}
        asked = {**config, "ckpt": config["ckpt"][:1], **read}
        result = only(measured("probe", **asked))[0]
        assert (result.provenance.settings["positions"], result.provenance.settings["site"]) == (
            positions,
            site,
        )
        found.append(result.correct.tobytes())
    assert len(set(found)) == 4


def test_the_hopeless_is_refused_before_a_model_is_opened(config, no_model, tmp_path):
    asked = {**config, "out": tmp_path / "out"}
    for changed, kind, said in [
        ({"folds": 31}, MeasurementError, "30 facts in 25 groups for 31 folds"),
        ({"folds": 1}, ConfigError, "'folds' is 1; a number of at least 2 is expected"),
        ({"languages": "en"}, ConfigError, r"One language \(en\); a probe for the language needs at least 2"),
        ({"task": "answer"}, MeasurementError, "No relation has two answers that facts of 3 groups share"),
        ({"task": "right", "folds": 31}, MeasurementError, "for 31 folds"),
        ({"layers": "0,x"}, ConfigError, "'layers' is '0,x'"),
        ({"l2": -0.1}, ConfigError, "'l2' is -0.1; a number of at least 0 is expected"),
        ({"l2": float("nan")}, ConfigError, "'l2' is nan"),
        ({"l2": float("inf")}, ConfigError, "'l2' is inf"),
        ({"data": "cldrr"}, DataError, "No data named 'cldrr'"),
        ({"ckpt": ()}, ConfigError, "No checkpoint: give --ckpt"),
    ]:
        with pytest.raises(kind, match=said):
            measured("probe", **{**asked, **changed})
    assert not (tmp_path / "out").exists()


def test_nothing_read_and_few_facts_are_doubtful():
    labels = np.tile([[0], [1]], (60, 3))
    chance = probe_result(np.broadcast_to(labels.T == 1, (2, 3, 3, 3, 120)), labels)
    assert chance.diagnostics() == [
        "Nothing is read: balanced accuracy is not clearly above chance (0.500) at any layer, at most 0.500."
    ]
    right = probe_result(np.ones((2, 3, 3, 3, 120)), labels)
    assert right.diagnostics() == []
    assert probe_result(np.ones((2, 3, 3, 3, 98)), labels[:98]).diagnostics() == ["Few facts: 98."]
    failed = replace(right, provenance=Provenance(run={"unconverged_fits": 3}))
    assert failed.diagnostics() == ["3 fits did not converge; raise --l2."]


def test_a_control_that_is_read_is_doubtful_but_for_being_right():
    labels = np.tile([[0], [1]], (60, 3))
    right = probe_result(np.ones((2, 3, 3, 3, 120)), labels, task="answer")
    leak = replace(right, control=right.correct)
    assert leak.diagnostics()[0].startswith(
        "The control labels, which mean nothing, are read at 1.000 (chance 0.500): held-out facts are known"
    )
    assert replace(leak, task="right").diagnostics() == []
    noise = [random_probe_result(seed, n=120, task="answer").diagnostics() for seed in range(10)]
    assert (
        sum(len(diagnostics) == 1 and diagnostics[0].startswith("Nothing is read") for diagnostics in noise)
        >= 9
    )
